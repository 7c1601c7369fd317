// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// found is what a path in a sandbox is.
type found struct {
	kind string
	size int64
	mode fs.FileMode
	// sum is the SHA-256 in hexadecimal, - where the sandbox could not say it.
	sum string
}

// download is one copy out of a sandbox.
type download struct {
	*errands
	stage, path string
	found
	// first are the first bytes, or all.
	first []byte
}

// open looks what is at a path, and brings the first piece of it. Of a directory an archive is made, unless only a file is
// wanted. Call close when its content is not needed any more.
func (e *errands) open(ctx context.Context, path string, fileOnly bool) (*download, error) {
	d := &download{errands: e, stage: newStage(), path: path}
	want := "any"
	if fileOnly {
		want = kindFile
	}
	said, err := e.do(ctx, errand{script: "get.sh", arguments: []string{
		d.stage, want, escaped(path), strconv.Itoa(pieceBytes), strconv.Itoa(MostCopied),
	}})
	if err != nil {
		if ctx.Err() != nil && !fileOnly {
			e.clean(ctx, d.stage, e.Notes)
		}
		return nil, err
	}
	if d.found, err = parseFound(said.err); err != nil {
		return nil, err
	}
	if d.size > MostCopied {
		return nil, tooLarge(e.sandbox + ":" + path)
	}
	if d.first = said.out; int64(len(d.first)) != min(d.size, pieceBytes) {
		return nil, d.changed()
	}
	return d, nil
}

// parseFound reads what get.sh says: kind, size, mode and digest.
func parseFound(said string) (found, error) {
	var f found
	var mode uint32
	if _, err := fmt.Sscanf(firstLine(said), "%s %d %o %s", &f.kind, &f.size, &mode, &f.sum); err != nil || f.size < 0 {
		return f, cli.Fail("", "the sandbox sent something else than was asked for: %s", cli.Visible(firstLine(said)))
	}
	f.mode = fs.FileMode(mode).Perm()
	return f, nil
}

func (d *download) changed() error {
	return &cli.Failure{
		Problem: fmt.Sprintf("%s:%s changed while it was copied", d.sandbox, cli.Visible(d.path)), Next: "try again", Code: CodeFailed,
	}
}

// close takes the archive away that was made in the sandbox.
func (d *download) close(ctx context.Context) {
	if d.kind == kindDirectory && d.size > pieceBytes {
		d.clean(ctx, d.stage, d.Notes)
	}
}

// into writes the content to a file, which is empty, and sees that it is what the sandbox has.
func (d *download) into(ctx context.Context, file *os.File, bar *progress) error {
	if _, err := file.Write(d.first); err != nil {
		return err
	}
	bar.show(int64(len(d.first)))
	from := d.path
	if d.kind == kindDirectory {
		from = d.stage + "/all"
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for offset := int64(pieceBytes); offset < d.size && groupCtx.Err() == nil; offset += pieceBytes {
		group.Go(func() error {
			said, err := d.do(groupCtx, errand{script: "more.sh", arguments: []string{
				escaped(from), strconv.Itoa(pieceBytes), strconv.FormatInt(offset/pieceBytes, 10),
			}})
			if err != nil {
				return err
			}
			if int64(len(said.out)) != min(d.size-offset, pieceBytes) {
				return d.changed()
			}
			bar.add(int64(len(said.out)))
			_, err = file.WriteAt(said.out, offset)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return d.verify(file)
}

func (d *download) verify(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if d.sum == "-" {
		d.unchecked()
		return nil
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return err
	}
	if hex.EncodeToString(digest.Sum(nil)) != d.sum {
		return d.changed()
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}
