// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package byhand_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// random is content that nothing compresses, the same for the same size.
func random(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	return content
}

// expectNothingLeft waits until nothing of the plugin is left in the namespace, nor in the sandbox.
func expectNothingLeft(ctx context.Context, room *testbed.Room, box *v1alpha1.Sandbox) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		for _, list := range []client.ObjectList{&v1alpha1.SandboxExecList{}, &corev1.SecretList{}} {
			g.Expect(bed.Client.List(ctx, list, client.InNamespace(room.Namespace))).To(Succeed())
			g.Expect(meta.LenList(list)).To(BeZero(), "%T", list)
		}
		g.Expect(bed.RunIn(ctx, box.Status.SandboxID, "ls -A /tmp")).NotTo(ContainSubstring("sandbox-copy"))
	}).WithContext(ctx).WithTimeout(testbed.Patience).Should(Succeed())
}

var _ = Describe("Files of a sandbox", func() {
	var (
		room *testbed.Room
		box  *v1alpha1.Sandbox
		me   person
		here string
	)

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		box = room.Ready(ctx, room.Sandbox("box").WorkingDir("/workspace"))
		me, here = admin.in(room.Namespace), GinkgoT().TempDir()
	})

	write := func(name string, content []byte, mode fs.FileMode) string {
		GinkgoHelper()
		path := filepath.Join(here, name)
		Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
		Expect(os.Chmod(path, mode)).To(Succeed())
		return path
	}

	DescribeTable("come over byte for byte and go back, whatever their size", func(ctx context.Context, size int, mode fs.FileMode) {
		there, back := write("there", random(size), mode), filepath.Join(here, "new", "back")
		Expect(me.does(ctx, "cp", there, "box:in/file")).To(BeEmpty())
		Expect(me.does(ctx, "cp", "box:/workspace/in/file", back)).To(BeEmpty())
		content, err := os.ReadFile(back)
		Expect(err).NotTo(HaveOccurred())
		Expect(bytes.Equal(content, random(size))).To(BeTrue(), "%d bytes came back", len(content))
		info, err := os.Stat(back)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(mode))
		expectNothingLeft(ctx, room, box)
	},
		Entry("nothing", 0, fs.FileMode(0o644)),
		Entry("a byte", 1, fs.FileMode(0o600)),
		Entry("exactly one piece", 900<<10, fs.FileMode(0o755)),
		Entry("a byte more than what one run takes", 16*(900<<10)+1, fs.FileMode(0o400)),
	)

	It("may have any name and any bytes, in directories with modes and links", func(ctx context.Context) {
		for name, content := range map[string]string{
			"tree/with space": "a", "tree/new\nline": "b", "tree/-rf": "c", "tree/caf\xe9": "d", "tree/.hidden": "e",
			"tree/deep/er/$HOME `x` \\0101": "\x00\xff",
		} {
			write(name, []byte(content), 0o640)
		}
		Expect(os.Symlink("deep/er", filepath.Join(here, "tree/link"))).To(Succeed())
		Expect(os.Mkdir(filepath.Join(here, "tree/empty"), 0o700)).To(Succeed())
		me.does(ctx, "cp", filepath.Join(here, "tree"), "box:/srv/new")
		Expect(bed.RunIn(ctx, box.Status.SandboxID, `cd /srv/new; stat -c %a empty -- -rf; readlink link; cat "new
line"`)).To(Equal("700\n640\ndeep/er\nb"))
		me.does(ctx, "cp", "box:/srv/new", filepath.Join(here, "back"))
		Expect(filepath.Glob(filepath.Join(here, "back/*"))).To(HaveLen(8))
		for _, name := range []string{
			"with space", "new\nline", "-rf", "caf\xe9", ".hidden", "deep/er/$HOME `x` \\0101", "link/$HOME `x` \\0101",
		} {
			want, err := os.ReadFile(filepath.Join(here, "tree", name))
			Expect(err).NotTo(HaveOccurred())
			Expect(os.ReadFile(filepath.Join(here, "back", name))).To(Equal(want))
		}

		By("also one by one")
		me.does(ctx, "cp", filepath.Join(here, "tree/caf\xe9"), "box:-odd\n/")
		Expect(me.does(ctx, "cat", "box:-odd\n/caf\xe9")).To(Equal("d"))
		me.does(ctx, "rm", "box:-odd\n/caf\xe9", "box:/srv/new/new\nline")
		Expect(me.does(ctx, "ls", "-a", "box:-odd\n")).To(BeEmpty())
		expectNothingLeft(ctx, room, box)
	})

	It("come from standard input and go to standard output", func(ctx context.Context) {
		content := random(2 << 20)
		a := me.feeds(ctx, content, "cp", "-", "box:x")
		Expect(a).To(Equal(answer{}))
		Expect(me.does(ctx, "cp", "box:x", "-")).To(Equal(string(content)))
		Expect(me.does(ctx, "cat", "box:x", "box:x")).To(Equal(strings.Repeat(string(content), 2)))
		Expect(me.isTold(ctx, 125, "cp", "-", "box:dir/")).To(ContainSubstring("name the file"))
	})

	It("are read to where the reader wants, and leave no copy here", func(ctx context.Context) {
		me.feeds(ctx, random(2<<20), "cp", "-", "box:x")
		reader, writer, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(reader.Close()).To(Succeed())
		command, _, said := me.command(ctx, "cat", "box:x")
		command.Stdout, command.Env = writer, append(command.Env, "TMPDIR="+here)
		Expect(command.Run()).To(MatchError("exit status 141"))
		Expect(writer.Close()).To(Succeed())
		Expect(said.String()).To(BeEmpty())
		Expect(os.ReadDir(here)).To(BeEmpty())
	})

	It("go into a directory that is there, and replace a file whole", func(ctx context.Context) {
		me.does(ctx, "mkdir", "-p", "box:a/b", "box:a/b")
		me.does(ctx, "cp", write("one", []byte("1"), 0o644), "box:a/b")
		me.does(ctx, "cp", write("two", []byte("2"), 0o644), "box:a/b/one")
		Expect(me.does(ctx, "cat", "box:a/b/one")).To(Equal("2"))
		me.does(ctx, "cp", here+"/.", "box:a")
		Expect(me.does(ctx, "ls", "box:a")).To(Equal("b\none\ntwo\n"))
		me.does(ctx, "cp", "box:a", here)
		Expect(os.ReadFile(filepath.Join(here, "a/b/one"))).To(BeEquivalentTo("2"))
		Expect(me.isTold(ctx, 1, "cp", here+"/one", "box:a/b/one/c")).To(ContainSubstring("can't be made"))
	})

	It("are listed for people and for programs", func(ctx context.Context) {
		_, err := bed.RunIn(ctx, box.Status.SandboxID,
			"cd /workspace; printf 12345 >f; chmod 640 f; touch -d @86400 f .h; mkdir d; ln -s f l; mkfifo p")
		Expect(err).NotTo(HaveOccurred())
		Expect(me.does(ctx, "ls", "box")).To(Equal("d\nf\nl\np\n"))
		Expect(me.does(ctx, "ls", "-a", "box:/workspace/")).To(Equal(".h\nd\nf\nl\np\n"))
		Expect(me.does(ctx, "ls", "-l", "box:f")).To(MatchRegexp(`^-rw-r----- +root +root +5 +1970-01-02 00:00  f\n$`))
		Expect(me.does(ctx, "ls", "-l", "box:/workspace")).To(SatisfyAll(
			MatchRegexp(`(?m)^drwxr-xr-x .* d$`), MatchRegexp(`(?m)^lrwxrwxrwx .* l -> f$`), MatchRegexp(`(?m)^prw-r--r-- .* p$`)))
		var entries []map[string]any
		Expect(json.Unmarshal([]byte(me.does(ctx, "ls", "-l", "-o", "json", "box:f")), &entries)).To(Succeed())
		Expect(entries).To(ConsistOf(map[string]any{
			"name": "f", "type": "File", "mode": "0640", "bytes": 5.0, "modified": "1970-01-02T00:00:00Z", "user": "root", "group": "root",
		}))
	})

	It("that can't be had say why in one line", func(ctx context.Context) {
		me.does(ctx, "mkdir", "box:d")
		for _, wrong := range []struct {
			code int
			says string
			line []string
		}{
			{1, "box: nope: no such file or directory", []string{"cat", "box:nope"}},
			{1, "box: nope: no such file or directory", []string{"cp", "box:nope", here}},
			{1, "box: nope: no such file or directory", []string{"ls", "box:nope"}},
			{1, "box: nope: no such file or directory", []string{"rm", "box:nope"}},
			{1, "box: d: is a directory", []string{"cat", "box:d"}},
			{1, "d: is a directory; -r removes it", []string{"rm", "box:d"}},
			{1, "d: exists", []string{"mkdir", "box:d"}},
			{1, "x: no such directory; -p makes it", []string{"mkdir", "box:x/y"}},
			{1, "/dev/zero: is neither a file nor a directory", []string{"cp", "box:/dev/zero", here}},
			{1, "no such file", []string{"cp", filepath.Join(here, "nope"), "box:/x"}},
			{1, "more than 128 MiB", []string{"cp", here + "/huge", "box:/x"}},
			{1, "more than 128 MiB", []string{"cat", "box:/huge"}},
			{125, "is all that there is", []string{"rm", "-r", "box:/"}},
			{125, `Sandbox "bix" does not exist`, []string{"ls", "bix:/x"}},
			{125, "names no sandbox", []string{"cat", "/x"}},
			{125, "neither", []string{"cp", "a", "b"}},
			{125, "are in sandboxes", []string{"cp", "box:a", "box:b"}},
			{125, "takes 2 arguments", []string{"cp", "box:a"}},
		} {
			if strings.Contains(wrong.says, "128") {
				Expect(os.Truncate(write("huge", nil, 0o600), 129<<20)).To(Succeed())
				_, err := bed.RunIn(ctx, box.Status.SandboxID, "truncate -s 129M /huge")
				Expect(err).NotTo(HaveOccurred())
			}
			Expect(me.isTold(ctx, wrong.code, wrong.line...)).To(ContainSubstring(wrong.says))
		}
		me.does(ctx, "rm", "-f", "box:nope")
		me.does(ctx, "rm", "-r", "box:d")
		expectNothingLeft(ctx, room, box)
	})

	It("are out of reach without a shell, and that is said", func(ctx context.Context) {
		room.Run(ctx, room.Exec("away", "box").Shell("/usr/bin/rm -f /bin"))
		Expect(me.isTold(ctx, 1, "ls", "box:/")).To(ContainSubstring(`Sandbox "box" has no shell (sh)`))
		Expect(me.isTold(ctx, 1, "cp", write("x", nil, 0o600), "box:/x")).To(ContainSubstring(`Sandbox "box" has no shell (sh)`))
	})

	It("never write outside of the target, whatever the sandbox sends", func(ctx context.Context) {
		room.Ready(ctx, room.Sandbox("evil").Env("PATH", "/srv/bin:/usr/bin:/bin").File("/srv/evil/fine", "fine"))
		room.Output(ctx, "links", "evil", "cd /srv/evil && ln -s /etc/passwd absolute && ln -s ../../.. climbing && ln -s fine link")
		said := me.types(ctx, "cp", "evil:/srv/evil", filepath.Join(here, "target"))
		Expect(said.code).To(BeZero(), said.err)
		Expect(said.err).To(SatisfyAll(ContainSubstring(`the link "absolute"`), ContainSubstring(`the link "climbing"`)))
		Expect(filepath.Glob(filepath.Join(here, "target/*"))).To(HaveLen(2))
		Expect(os.Readlink(filepath.Join(here, "target/link"))).To(Equal("fine"))

		By("with a tar of its own")
		room.Output(ctx, "tar", "evil", `mkdir /srv/bin; cat >/srv/bin/tar <<'END'
#!/bin/sh
exec /usr/bin/tar -cPf - -C /srv/evil --transform 's,^fine,../outside,' fine
END
chmod 755 /srv/bin/tar`)
		Expect(me.isTold(ctx, 1, "cp", "evil:/srv/evil", filepath.Join(here, "second"))).To(ContainSubstring("leads out of the target"))
		Expect(filepath.Join(here, "outside")).NotTo(BeAnExistingFile())
	})

	It("leave nothing behind when Ctrl-C comes in the middle", func(ctx context.Context) {
		command, _, said := me.command(ctx, "cp", write("large", random(28<<20), 0o600), "box:/large")
		Expect(command.Start()).To(Succeed())
		Eventually(func() string {
			listed, _ := bed.RunIn(ctx, box.Status.SandboxID, "ls -A /tmp/.sandbox-copy-*")
			return listed
		}).WithContext(ctx).WithTimeout(testbed.Patience).Should(ContainSubstring("all"))
		Expect(command.Process.Signal(syscall.SIGINT)).To(Succeed())
		began := time.Now()
		Expect(command.Wait()).To(MatchError(ContainSubstring("exit status 130")), said.String())
		Expect(time.Since(began)).To(BeNumerically("<", testbed.Patience))
		Expect(said.String()).To(HavePrefix("error: cancelled: what was there before is as it was"))
		Expect(bed.RunIn(ctx, box.Status.SandboxID, "ls /large 2>&1 || :")).To(ContainSubstring("No such file"))
		expectNothingLeft(ctx, room, box)
	})

	It("need the rights that are named, and no more", func(ctx context.Context) {
		config, err := bed.Plane.User("ada-" + room.Namespace)
		Expect(err).NotTo(HaveOccurred())
		ada := newPerson(config).in(room.Namespace)
		Expect(ada.isTold(ctx, 125, "ls", "box")).To(ContainSubstring("forbidden"))

		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: room.Namespace, Name: "files"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"sandboxes"}, Verbs: []string{"get"}},
			{
				APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"sandboxexecs"},
				Verbs: []string{"create", "get", "watch", "patch", "delete"},
			},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "get"}},
		}}
		room.Create(ctx, role, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: room.Namespace, Name: "files"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "files"},
			Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ada-" + room.Namespace}},
		})
		Eventually(func() int { return ada.types(ctx, "cp", write("x", []byte("x"), 0o600), "box:/x").code }).
			WithContext(ctx).WithTimeout(testbed.Patience).Should(BeZero())
		Expect(ada.does(ctx, "cat", "box:/x")).To(Equal("x"))
		expectNothingLeft(ctx, room, box)
	})
})
