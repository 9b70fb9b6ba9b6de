// Package iterator has the pages of Google's clients that MinIO reads.
package iterator

// Pageable is a list in pages.
type Pageable any

// Pager reads pages.
type Pager struct{}

// NewPager returns what reads a list: nothing returns a list.
func NewPager(Pageable, int, string) *Pager { return nil }

// NextPage returns no page.
func (*Pager) NextPage(any) (string, error) { return "", nil }
