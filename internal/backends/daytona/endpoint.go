// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// reserved are the ports of the sandbox's own services: terminal, toolbox, SSH and recordings.
var reserved = []int32{22222, 2280, 22220, 33333}

// tokenHeader opens the ports of a sandbox that is not public. The token changes with each start.
const tokenHeader = "X-Daytona-Preview-Token" //nolint:gosec // a name

// Endpoint implements backends.Endpointer. What listens must speak HTTP: the proxy adds the encryption.
func (b *backend) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	if err := checkPort(operationEndpoint, port); err != nil {
		return backends.Endpoint{}, err
	}
	known, err := b.place(ctx, operationEndpoint, id)
	if err != nil {
		return backends.Endpoint{}, err
	}
	found, err := b.preview(ctx, id, port.Number, "preview-url", nil)
	if err != nil {
		return backends.Endpoint{}, err
	}
	endpoint := backends.Endpoint{URL: found.URL}
	if found.Token != "" {
		endpoint.Headers = map[string]string{tokenHeader: found.Token}
	}
	if known.signed == 0 {
		return endpoint, nil
	}
	ends := time.Now().Add(time.Duration(known.signed) * time.Second).Truncate(time.Second)
	signed, err := b.preview(ctx, id, port.Number, "signed-preview-url", url.Values{"expiresInSeconds": {strconv.Itoa(known.signed)}})
	endpoint.SignedURL, endpoint.Expires = signed.URL, ends
	return endpoint, err
}

// preview is a URL that leads to a port, and what opens it. Those of signed URLs are opened by the URL itself.
type preview struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func (b *backend) preview(ctx context.Context, id string, port int32, kind string, query url.Values) (preview, error) {
	var found preview
	path := fmt.Sprintf("/sandbox/%s/ports/%d/%s", url.PathEscape(id), port, kind)
	return found, b.call(ctx, request{operation: operationEndpoint, method: http.MethodGet, path: path, query: query}, &found)
}

// checkPort finds ports to which Daytona does not lead.
func checkPort(operation string, port backends.Port) error {
	if port.Protocol != backends.ProtocolHTTP && port.Protocol != "" {
		return backends.Errorf(backends.Unsupported, Name, operation,
			"Daytona leads to ports that speak HTTP only: port %d can't have protocol %s", port.Number, port.Protocol)
	}
	if slices.Contains(reserved, port.Number) {
		return backends.Errorf(backends.Invalid, Name, operation, "port %d is Daytona's own", port.Number)
	}
	return nil
}
