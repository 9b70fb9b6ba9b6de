// Package elasticsearch has what MinIO calls of Elasticsearch's client, which receives a bucket's events on request.
package elasticsearch

import (
	"context"
	"errors"
	"io"
	"net/http"
)

var errWithout = errors.New("this MinIO was built without Elasticsearch")

// Config says how to connect.
type Config struct {
	Addresses          []string
	Transport          http.RoundTripper
	MaxRetries         int
	Username, Password string
}

// Client cannot be created, so its functions are never called.
type Client struct {
	Info, Ping     get
	Exists, Delete document
	Index          index
	Indices        indices
}

// NewClient returns an error.
func NewClient(Config) (*Client, error) { return nil, errWithout }

// Response is the server's.
type Response struct{ Body io.ReadCloser }

// IsError returns true.
func (*Response) IsError() bool { return true }

// String returns no text.
func (*Response) String() string { return "" }

type option any

type get func(...option) (*Response, error)

func (get) WithContext(context.Context) option { return nil }

type document func(string, string, ...option) (*Response, error)

func (document) WithContext(context.Context) option { return nil }

type index func(string, io.Reader, ...option) (*Response, error)

func (index) WithContext(context.Context) option { return nil }

func (index) WithDocumentID(string) option { return nil }

type indices struct{}

func (indices) ResolveIndex([]string) (*Response, error) { return nil, errWithout }

func (indices) Create(string) (*Response, error) { return nil, errWithout }
