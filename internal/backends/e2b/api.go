// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// What the control plane reads and answers, as far as it is used. Names are E2B's.

type createBody struct {
	TemplateID string `json:"templateID"`
	// Timeout in seconds is always sent: the default is 15.
	Timeout             int64             `json:"timeout"`
	Secure              bool              `json:"secure"`
	AllowInternetAccess *bool             `json:"allow_internet_access,omitempty"`
	Network             *networkBody      `json:"network,omitempty"`
	Metadata            map[string]string `json:"metadata"`
	EnvVars             map[string]string `json:"envVars,omitempty"`
}

type networkBody struct {
	AllowPublicTraffic *bool    `json:"allowPublicTraffic,omitempty"`
	AllowOut           []string `json:"allowOut,omitempty"`
	DenyOut            []string `json:"denyOut,omitempty"`
}

type timeoutBody struct {
	Timeout int64 `json:"timeout"`
}

// access is how a sandbox is entered, which creation and connection answer.
type access struct {
	SandboxID          string `json:"sandboxID"`
	TemplateID         string `json:"templateID"`
	EnvdAccessToken    string `json:"envdAccessToken"`
	TrafficAccessToken string `json:"trafficAccessToken"`
	Domain             string `json:"domain"`
}

// described is what a list, or a look at one sandbox, says.
type described struct {
	SandboxID  string            `json:"sandboxID"`
	TemplateID string            `json:"templateID"`
	StartedAt  time.Time         `json:"startedAt"`
	EndAt      time.Time         `json:"endAt"`
	State      string            `json:"state"`
	Metadata   map[string]string `json:"metadata"`

	// Only a look at one has these.
	EnvdAccessToken string       `json:"envdAccessToken"`
	Domain          string       `json:"domain"`
	Network         *networkBody `json:"network"`
}

func (d described) isPrivate() bool {
	return d.Network != nil && d.Network.AllowPublicTraffic != nil && !*d.Network.AllowPublicTraffic
}

type templateBody struct {
	TemplateID string   `json:"templateID"`
	Names      []string `json:"names"`
	Aliases    []string `json:"aliases"`
	CPUCount   int64    `json:"cpuCount"`
	MemoryMB   int64    `json:"memoryMB"`
	DiskSizeMB int64    `json:"diskSizeMB"`
}

// errorBody is what the control plane says of a failure.
type errorBody struct {
	Message   string `json:"message"`
	ErrorCode string `json:"error_code"`
}

// idForm is that of E2B's IDs, with the second part that older ones have.
var idForm = regexp.MustCompile(`^[a-z0-9]{1,64}(-[a-z0-9]{1,64})?$`)

// checkID refuses what can't be the ID of a sandbox: it would lead elsewhere in a path.
func checkID(operation, id string) error {
	if idForm.MatchString(id) {
		return nil
	}
	return backends.Errorf(backends.NotFound, Name, operation, "%q can't be the ID of a sandbox of E2B", backends.Bounded(id, 64))
}

// request is one of the control plane.
type request struct {
	operation, method, path string
	query                   url.Values
	body                    any
	// effect says that something may have changed although no answer came.
	effect bool
}

// ask makes a request, and decodes what a success answers, where that is wanted.
func (b *backend) ask(ctx context.Context, r request, into any) (http.Header, error) {
	at := b.api + r.path
	if len(r.query) > 0 {
		at += "?" + r.query.Encode()
	}
	answer, err := b.client.Call(ctx, web.Call{
		Operation: r.operation, Method: r.method, URL: at, Body: r.body, Effect: r.effect,
		// Not one of the client's headers: those go to sandboxes, too.
		Header: http.Header{"X-Api-Key": {b.key}},
	})
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return answer.Header, b.refused(r, answer)
	}
	if into == nil {
		return answer.Header, nil
	}
	return answer.Header, b.client.Decode(r.operation, answer, r.effect, into)
}

// ofSandbox is a request about one sandbox.
func (b *backend) ofSandbox(ctx context.Context, operation, method, id, what string, body, into any) error {
	if err := checkID(operation, id); err != nil {
		return err
	}
	r := request{
		operation: operation, method: method, path: "/sandboxes/" + id + what, body: body, effect: method != http.MethodGet,
	}
	_, err := b.ask(ctx, r, into)
	return err
}

// filterParameter is the metadata of a list's query: keys and values are escaped twice before the query itself is. With one escape
// fewer, as E2B's description of its API has it, values with =, &, + or % match wrongly (recorded with the SDK).
func filterParameter(metadata map[string]string) string {
	twice := func(s string) string { return url.QueryEscape(url.QueryEscape(s)) }
	var pairs []string
	for key, value := range metadata {
		pairs = append(pairs, twice(key)+"="+twice(value))
	}
	return strings.Join(pairs, "&")
}
