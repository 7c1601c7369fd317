// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal says whether a person is at the other end of a reader or writer.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Colour is what a text is shown in.
type Colour string

// The colours: of what is well, what waits, what is wrong, and of what matters less than the rest.
const (
	Green  Colour = "\x1b[32m"
	Yellow Colour = "\x1b[33m"
	Red    Colour = "\x1b[31m"
	Faint  Colour = "\x1b[2m"
	Bold   Colour = "\x1b[1m"
)

// Painter colours text, or leaves it as it is.
type Painter bool

// PainterFor colours only what goes to a terminal, and nothing where NO_COLOR is set (https://no-color.org) or TERM is dumb.
func PainterFor(to io.Writer) Painter {
	return Painter(IsTerminal(to) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// Paint returns the text in the colour.
func (p Painter) Paint(colour Colour, text string) string {
	if !p || text == "" {
		return text
	}
	return string(colour) + text + "\x1b[0m"
}
