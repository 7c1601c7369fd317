// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiproxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is what a program asked the API server for.
type Request struct {
	// Verb is that of Kubernetes: get, list, watch, create, update, patch, delete or deletecollection.
	Verb string
	// Group and Resource, such as sandboxes.run and sandboxes; empty where the path is none of a resource.
	Group, Resource string
	// Subresource, such as status.
	Subresource string
	// Namespace and Name of the object, where the path has them.
	Namespace, Name string
	// UserAgent is what the program calls itself.
	UserAgent string
	// Path is the whole path.
	Path string
	// Body is what was sent.
	Body []byte
	// Time is when it came.
	Time time.Time
}

// String is one line for failure messages.
func (r Request) String() string {
	what := r.Resource
	if r.Subresource != "" {
		what += "/" + r.Subresource
	}
	if what == "" {
		what = r.Path
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s/%s %.300s", r.Verb, what, r.Namespace, r.Name, r.Body))
}

// Matcher says whether a request is wanted.
type Matcher func(Request) bool

// IsWrite wants everything that changes something.
func IsWrite(r Request) bool {
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, r.Verb)
}

// Writes wants writes to one resource of one object, such as sandboxes/status; an empty name stands for every object.
func Writes(resource, namespace, name string) Matcher {
	resource, subresource, _ := strings.Cut(resource, "/")
	return func(r Request) bool {
		return IsWrite(r) && r.Resource == resource && r.Subresource == subresource &&
			(namespace == "" || r.Namespace == namespace) && (name == "" || r.Name == name)
	}
}

// parse takes a path apart: /api/VERSION/... and /apis/GROUP/VERSION/..., then [namespaces/NAMESPACE/]RESOURCE[/NAME[/SUB]].
func parse(r *http.Request) Request {
	request := Request{Path: r.URL.Path, UserAgent: r.UserAgent(), Time: time.Now()}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		request.Group, parts = parts[1], parts[3:]
	default:
		parts = nil
	}
	if len(parts) > 2 && parts[0] == "namespaces" && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
		request.Namespace, parts = parts[1], parts[2:]
	}
	for i, field := range []*string{&request.Resource, &request.Name, &request.Subresource} {
		if i < len(parts) {
			*field = parts[i]
		}
	}
	request.Verb = verb(r, request.Name != "")
	return request
}

func verb(r *http.Request, named bool) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	watch := r.URL.Query().Get("watch")
	switch {
	case watch == "true" || watch == "1":
		return "watch"
	case named || r.Method != http.MethodGet:
		return "get"
	default:
		return "list"
	}
}
