// Package option has the options of Google's clients that MinIO sets.
package option

// ClientOption is an option.
type ClientOption any

// WithCredentialsJSON returns no option.
func WithCredentialsJSON([]byte) ClientOption { return nil }

// WithScopes returns no option.
func WithScopes(...string) ClientOption { return nil }

// WithUserAgent returns no option.
func WithUserAgent(string) ClientOption { return nil }
