// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// MostCopied is how many bytes one copy takes. All of it passes through etcd, which keeps what was deleted for some minutes
// and has room for 2 GiB where nobody said otherwise: a copy that fills it would stop the whole cluster.
const MostCopied = 128 << 20

func tooLarge(what string) error {
	return &cli.Failure{
		Problem: fmt.Sprintf("%s is more than %s, and as much may pass through the cluster's etcd at once", what, inBytes(MostCopied)),
		Next:    "have a command fetch it from a store, or send it to one", Code: CodeFailed,
	}
}

// The kinds of what is copied, as the scripts call them.
const (
	kindFile      = "file"
	kindDirectory = "directory"
)

// upload is one copy into a sandbox.
type upload struct {
	*errands
	// kind says whether the content is a file or the archive of a directory.
	kind string
	// destination is a path there, and base the name that the copy has where that is a directory.
	destination, base string
	mode              fs.FileMode
	bar               *progress
}

// send puts the content into its place, at once and whole, or leaves what is there as it is.
func (u *upload) send(ctx context.Context, content io.Reader) (err error) {
	stage, reader := newStage(), bufio.NewReaderSize(content, 1<<16)
	digest, total, sent := sha256.New(), int64(0), 0
	defer func() {
		var failure *cli.Failure
		if err != nil && sent > 0 && (!errors.As(err, &failure) || failure.Code != CodeFailed) {
			u.clean(ctx, stage, u.Notes) // a script that failed has done so itself
		}
	}()
	for {
		pieces, last, err := nextPieces(reader)
		if err != nil {
			return err
		}
		for _, piece := range pieces {
			digest.Write(piece)
			total += int64(len(piece))
		}
		if total > MostCopied {
			if sent > 0 {
				u.clean(ctx, stage, u.Notes)
			}
			return tooLarge("what was to be copied")
		}
		sent++
		said, err := u.do(ctx, errand{script: "put.sh", stage: stage, pieces: pieces, arguments: []string{
			stage, u.kind, yes(last), escaped(u.destination), escaped(u.base), strconv.FormatInt(total, 10),
			hex.EncodeToString(digest.Sum(nil)), fmt.Sprintf("%04o", u.mode.Perm()),
		}})
		if err != nil {
			return err
		}
		u.bar.show(total)
		if last {
			if strings.TrimSpace(string(said.out)) == "-" {
				u.unchecked()
			}
			return nil
		}
	}
}

// nextPieces reads what one run takes. There is always a piece: that of an empty file is empty.
func nextPieces(reader *bufio.Reader) (pieces [][]byte, last bool, err error) {
	for len(pieces) < mostPieces {
		piece := make([]byte, pieceBytes)
		n, err := io.ReadFull(reader, piece)
		if n > 0 || len(pieces) == 0 {
			pieces = append(pieces, piece[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return pieces, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	if _, err := reader.Peek(1); errors.Is(err, io.EOF) {
		return pieces, true, nil
	} else if err != nil {
		return nil, false, err
	}
	return pieces, false, nil
}

// yes is how scripts are told.
func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
