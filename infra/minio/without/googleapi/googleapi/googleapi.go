// Package googleapi has the errors of Google's clients that MinIO reads.
package googleapi

// ErrorItem is a reason.
type ErrorItem struct{ Reason, Message string }

// Error is a response with reasons.
type Error struct {
	Code    int
	Message string
	Errors  []ErrorItem
}

// Error returns no text: nothing creates such an error.
func (*Error) Error() string { return "" }
