// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"fmt"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func BenchmarkCreate(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	_, err := h.Create(b.Context(), request("warm"))
	g.Expect(err).NotTo(HaveOccurred())
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprintf("box-%d", i)
		_, err := h.Create(b.Context(), request(id))
		g.Expect(err).NotTo(HaveOccurred())
		b.StopTimer()
		g.Expect(h.Destroy(b.Context(), id)).To(Succeed())
		b.StartTimer()
	}
}

func BenchmarkCreateWithLimits(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	for i := 0; b.Loop(); i++ {
		asked := request(fmt.Sprintf("box-%d", i))
		asked.Resources = backends.Resources{MilliCPU: 2000, MemoryBytes: 512 << 20}
		_, err := h.Create(b.Context(), asked)
		g.Expect(err).NotTo(HaveOccurred())
		b.StopTimer()
		g.Expect(h.Destroy(b.Context(), asked.Name)).To(Succeed())
		b.StartTimer()
	}
}

func BenchmarkDestroy(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		id := h.running(fmt.Sprintf("box-%d", i))
		b.StartTimer()
		g.Expect(h.Destroy(b.Context(), id)).To(Succeed())
	}
}

func BenchmarkRunCommand(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	id := h.running("box")
	for name, command := range map[string]backends.Command{
		"true":    {Argv: []string{"true"}},
		"shell":   {Argv: []string{"/bin/sh", "-c", "exit 0"}},
		"missing": {Argv: []string{"no-such-program"}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := h.RunCommand(b.Context(), id, command)
				g.Expect(err).NotTo(HaveOccurred())
			}
		})
	}
}

func BenchmarkRunCommandParallel(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	id := h.running("box")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, err := h.RunCommand(b.Context(), id, backends.Command{Argv: []string{"true"}})
			g.Expect(err).NotTo(HaveOccurred())
		}
	})
}

func BenchmarkWriteFile(b *testing.B) {
	h, g := newHost(b), NewWithT(b)
	id := h.running("box")
	for name, path := range map[string]string{"native": "/workspace/x", "by command": "/home/x"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g.Expect(h.WriteFile(b.Context(), id, path, []byte("content"), 0o600)).To(Succeed())
			}
		})
	}
}

func BenchmarkBurst(b *testing.B) {
	const burst = 20
	h, g := newHost(b), NewWithT(b)
	for round := 0; b.Loop(); round++ {
		var wait sync.WaitGroup
		for i := range burst {
			wait.Go(func() {
				_, err := h.Create(b.Context(), request(fmt.Sprintf("box-%d-%d", round, i)))
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
		wait.Wait()
		b.StopTimer()
		h.destroyAll()
		b.StartTimer()
	}
}

func BenchmarkList(b *testing.B) {
	const remotes = 20
	h, g := newHost(b), NewWithT(b)
	for i := range remotes {
		h.running(fmt.Sprintf("box-%d", i))
	}
	for b.Loop() {
		found, err := h.List(b.Context(), backends.Filter{Installation: "installation"})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(HaveLen(remotes))
	}
}
