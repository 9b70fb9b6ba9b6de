// Package storage has what MinIO calls of Google Cloud Storage's client, which moves old objects there on request.
package storage

import (
	"context"
	"errors"
	"io"

	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// ScopeReadWrite is a permission.
const ScopeReadWrite = ""

var errWithout = errors.New("this MinIO was built without Google Cloud Storage")

// Client cannot be created, so nothing below is ever called.
type Client struct{}

// NewClient returns an error.
func NewClient(context.Context, ...option.ClientOption) (*Client, error) { return nil, errWithout }

// Bucket returns a bucket.
func (*Client) Bucket(string) *BucketHandle { return nil }

// BucketHandle is a bucket.
type BucketHandle struct{}

// Object returns an object.
func (*BucketHandle) Object(string) *ObjectHandle { return nil }

// Objects returns the objects.
func (*BucketHandle) Objects(context.Context, *Query) iterator.Pageable { return nil }

// ObjectHandle is an object.
type ObjectHandle struct{}

// NewWriter returns what writes the object.
func (*ObjectHandle) NewWriter(context.Context) *Writer { return nil }

// ReadCompressed returns the object as it is stored.
func (*ObjectHandle) ReadCompressed(bool) *ObjectHandle { return nil }

// NewRangeReader returns an error.
func (*ObjectHandle) NewRangeReader(context.Context, int64, int64) (io.ReadCloser, error) {
	return nil, errWithout
}

// Delete returns an error.
func (*ObjectHandle) Delete(context.Context) error { return errWithout }

// ObjectAttrs describes an object.
type ObjectAttrs struct{}

// Query selects objects.
type Query struct {
	Delimiter, Prefix string
	Versions          bool
}

// Writer writes an object.
type Writer struct {
	StorageClass string
	Metadata     map[string]string
}

// Write returns an error.
func (*Writer) Write([]byte) (int, error) { return 0, errWithout }

// Close returns an error.
func (*Writer) Close() error { return errWithout }
