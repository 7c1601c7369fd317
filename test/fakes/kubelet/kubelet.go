// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package kubelet is a node for a control plane of tests, which has none: it takes pods, runs each as a throw-away machine of its own
// (package machine), and serves exec as a kubelet does, so that kubectl and client-go reach what runs through the real API server.
// Container images are names to it: every sandbox has this machine's programs. Names with a meaning are documented at [Image].
//
// kubelet.go joins the cluster, pod.go is the life of one pod, status.go what is said of it, and agent.go what runs in each machine.
package kubelet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Options are what a node is started with.
type Options struct {
	// Config is that of an administrator.
	Config *rest.Config
	// Name of the node; empty = fake-node.
	Name string
	// Dir is where the disks of pods are; it is emptied by whoever made it.
	Dir string
	// StartDelay is how long a pod takes to start.
	StartDelay time.Duration
}

// Kubelet is a node.
type Kubelet struct {
	options Options
	core    *corev1client.CoreV1Client
	server  *httptest.Server
	cancel  context.CancelFunc
	running sync.WaitGroup

	mutex sync.Mutex
	pods  map[types.UID]*pod
	// next numbers the pods, for their addresses.
	next int
}

// Start joins the cluster of the configuration. It needs root.
func Start(ctx context.Context, options Options) (*Kubelet, error) {
	if options.Name == "" {
		options.Name = "fake-node"
	}
	config := rest.CopyConfig(options.Config)
	config.QPS = -1
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	k := &Kubelet{options: options, core: core, pods: map[types.UID]*pod{}}
	k.server = httptest.NewUnstartedServer(http.HandlerFunc(k.serve))
	k.server.StartTLS()
	if err := k.join(ctx); err != nil {
		k.server.Close()
		return nil, fmt.Errorf("joining the cluster: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.cancel = cancel
	k.follow(running)
	return k, nil
}

// Stop ends the node and all that runs on it. Its pods stay in the cluster, as those of a machine that lost its power.
func (k *Kubelet) Stop() {
	k.cancel()
	k.server.CloseClientConnections()
	k.server.Close()
	k.running.Wait()
}

// join makes the Node, with the address at which the API server reaches this kubelet.
func (k *Kubelet) join(ctx context.Context) error {
	host, text, err := net.SplitHostPort(k.server.Listener.Addr().String())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	node, err := k.core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.options.Name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	node.Status = corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}}, //nolint:gosec // a port
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}},
	}
	_, err = k.core.Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// follow takes every pod of the cluster: it is its scheduler as well.
func (k *Kubelet) follow(ctx context.Context) {
	changed := func(object any) {
		if found, ok := object.(*corev1.Pod); ok {
			k.take(ctx, found)
		}
	}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(k.core.RESTClient(), "pods", metav1.NamespaceAll, everything{}),
		ObjectType:    &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) },
			DeleteFunc: func(object any) {
				if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = gone.Obj
				}
				if found, ok := object.(*corev1.Pod); ok {
					k.drop(found.UID)
				}
			},
		},
	})
	k.running.Go(func() { controller.RunWithContext(ctx) })
}

// take tells a pod's own goroutine what the API server says of it now.
func (k *Kubelet) take(ctx context.Context, found *corev1.Pod) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	p := k.pods[found.UID]
	if p == nil {
		k.next++
		p = newPod(k, found, k.next)
		k.pods[found.UID] = p
		k.running.Go(func() { p.live(ctx) })
	}
	p.tell(found)
}

// drop ends a pod that is not in the cluster any more.
func (k *Kubelet) drop(uid types.UID) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if p := k.pods[uid]; p != nil {
		p.removed()
		delete(k.pods, uid)
	}
}

// find returns a pod that runs; nil = there is none.
func (k *Kubelet) find(namespace, name string) *pod {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, p := range k.pods {
		if p.namespace == namespace && p.name == name && p.isRunning() {
			return p
		}
	}
	return nil
}

// serve answers the API server, at /exec/NAMESPACE/POD/CONTAINER.
func (k *Kubelet) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "exec" {
		http.NotFound(w, r)
		return
	}
	p := k.find(parts[1], parts[2])
	if p == nil {
		http.Error(w, fmt.Sprintf("container not found (%q)", parts[3]), http.StatusNotFound)
		return
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.machine.Dial(ctx, agentPort)
		},
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(out *httputil.ProxyRequest) {
		out.Out.URL.Scheme, out.Out.URL.Host, out.Out.URL.Path = "http", "machine", "/exec"
		query := out.Out.URL.Query()
		query.Set("dir", p.workingDir)
		query.Set("without", p.without)
		query.Set("resets", strconv.FormatBool(p.resets))
		out.Out.URL.RawQuery = query.Encode()
	}}
	proxy.ServeHTTP(w, r)
}

// End kills all that runs in a pod, as its kernel does when it is out of memory: the pod then says OOMKilled.
func (k *Kubelet) End(namespace, name, reason string) {
	if p := k.find(namespace, name); p != nil {
		p.kill(reason)
	}
}
