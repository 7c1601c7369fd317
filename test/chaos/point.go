// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// Point is a moment in a run: before or after the effect of one call of the manager's. It has the same name in each run.
type Point struct {
	// Side is api or provider.
	Side string
	// Call is a call's key and how-manieth of that key it is, such as "patch sandboxes/status box#1" or "create box#1".
	Call string
	// When is Before, After or Late.
	When string
}

// The sides, and when the manager dies. Late is for the provider alone: the manager dies before the effect, which comes when the
// next one is at work.
const (
	API      = "api"
	Provider = "provider"

	Before = fake.Before
	After  = fake.After
	Late   = fake.Late
)

// String is how a point is written.
func (p Point) String() string { return p.Side + " " + p.Call + " " + p.When }

// ParsePoint understands String.
func ParsePoint(text string) (Point, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Point{}, fmt.Errorf("%q is no point: write SIDE CALL#N WHEN", text)
	}
	p := Point{Side: words[0], Call: strings.Join(words[1:len(words)-1], " "), When: words[len(words)-1]}
	if !slices.Contains([]string{API, Provider}, p.Side) || !slices.Contains([]string{Before, After, Late}, p.When) ||
		!strings.Contains(p.Call, "#") {
		return Point{}, fmt.Errorf("%q is no point: write SIDE CALL#N WHEN", text)
	}
	return p, nil
}

// apiKey names a request that changes something, the same in each run; "" for those that are of no interest.
func apiKey(r apiproxy.Request) string {
	if !apiproxy.IsWrite(r) || slices.Contains([]string{"events", "leases", "tokenreviews", "subjectaccessreviews"}, r.Resource) {
		return ""
	}
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	name := r.Name
	if r.Namespace == operatorNamespace {
		name = "of-operator" // named by UIDs
	}
	return strings.TrimSpace(r.Verb + " " + resource + " " + name)
}

// matches returns a matcher of one call. It is used for one hold alone, which asks it once for each request.
func (p Point) matches() apiproxy.Matcher {
	key, number, _ := strings.Cut(p.Call, "#")
	seen := 0
	return func(r apiproxy.Request) bool {
		if apiKey(r) != key {
			return false
		}
		seen++
		return strconv.Itoa(seen) == number
	}
}

// points returns all moments of a run that went well.
func points(writes []apiproxy.Request, calls []fake.Call) []Point {
	var all []Point
	seen := map[string]int{}
	for _, write := range writes {
		key := apiKey(write)
		seen[key]++
		for _, when := range []string{Before, After} {
			all = append(all, Point{API, fmt.Sprintf("%s#%d", key, seen[key]), when})
		}
	}
	for _, call := range calls {
		if isPeriodic(call) {
			continue
		}
		for _, when := range []string{Before, After, Late} {
			if when != Late || !onlyLooks(call.Operation) {
				all = append(all, Point{Provider, call.Point(), when})
			}
		}
	}
	return all
}

// mostLooks is how many calls of one key are of interest: what comes after is the same look once more.
const mostLooks = 12

// isPeriodic says of calls which change nothing, and which a run has now more of, now less.
func isPeriodic(call fake.Call) bool {
	return call.N > mostLooks || call.N > 2 && onlyLooks(call.Operation)
}

// onlyLooks says of an operation that it has no effect.
func onlyLooks(operation string) bool {
	return slices.Contains([]string{fake.List, fake.Get, fake.FindByName}, operation)
}
