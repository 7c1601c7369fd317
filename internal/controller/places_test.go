// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

var crowded = v1alpha1.ProviderIdentity{Kind: v1alpha1.KindSandboxProvider, Name: "p", UID: "p", Backend: "memory"}

// placesWorld is an API server whose cache tells late of what passes write.
type placesWorld struct {
	*places
	random  *rand.Rand
	version int
	objects []*v1alpha1.Sandbox
	// unheard is what the cache has not told yet, in the order in which it was written; nil of a UID = it is gone.
	unheard []heard
	most    int
	made    int
	// gone are those that were deleted, as they were: a pass may still be over them.
	gone []*v1alpha1.Sandbox
}

type heard struct {
	uid    types.UID
	object *v1alpha1.Sandbox
}

func newPlacesWorld(seed uint64, most int) *placesWorld {
	return &placesWorld{places: newPlaces(newWakes()), random: rand.New(rand.NewPCG(seed, 1)), most: most}
}

func (w *placesWorld) wrote(sandbox *v1alpha1.Sandbox) {
	w.version++
	sandbox.ResourceVersion = strconv.Itoa(w.version)
	w.unheard = append(w.unheard, heard{sandbox.UID, sandbox.DeepCopy()})
}

func (w *placesWorld) create() {
	sandbox := builders.MakeSandbox("ns", fmt.Sprintf("box-%04d", w.made)).NamespacedProvider("p").Obj()
	sandbox.UID, sandbox.CreationTimestamp = types.UID(sandbox.Name), metav1.NewTime(noon.Add(time.Duration(w.made/3)*time.Second))
	w.made++
	w.objects = append(w.objects, sandbox)
	w.wrote(sandbox)
}

// pass is one over a Sandbox that has no remote: it takes a place, and writes the journal, unless that fails.
func (w *placesWorld) pass(sandbox *v1alpha1.Sandbox) {
	if holdsPlace(sandbox) != "" || !awaitsPlace(sandbox) {
		return
	}
	mine := sandbox.DeepCopy()
	given, err := w.take(mine, crowded, []queue{{kind: crowded.Kind, namespace: "ns", name: "p"}}, w.most)
	if err != nil {
		w.wakes.wake(sandbox)
	}
	if !given {
		return
	}
	if w.random.IntN(4) == 0 {
		// It failed, and comes again.
		w.wakes.wake(sandbox)
	} else {
		j := &journal{UID: sandbox.UID, Incarnation: 1, Attempt: 1, Time: noon, Provider: crowded}
		for _, written := range []*v1alpha1.Sandbox{sandbox, mine} {
			controllerutil.AddFinalizer(written, v1alpha1.SandboxFinalizer)
			written.Annotations = map[string]string{v1alpha1.JournalAnnotation: j.text()}
		}
		w.wrote(sandbox)
		mine.ResourceVersion = sandbox.ResourceVersion
	}
	w.settle(mine)
}

// took says whether a Sandbox was given a place.
func (w *placesWorld) took(sandbox *v1alpha1.Sandbox, identity v1alpha1.ProviderIdentity, queues []queue) bool {
	given, err := w.take(sandbox, identity, queues, w.most)
	return given && err == nil
}

// stale is a pass over a Sandbox as it was before somebody deleted it.
func (w *placesWorld) stale(sandbox *v1alpha1.Sandbox) {
	if !awaitsPlace(sandbox) || holdsPlace(sandbox) != "" {
		return
	}
	if given, _ := w.take(sandbox, crowded, queuesFor(sandbox), w.most); given {
		w.settle(sandbox)
	}
}

// end ends what a Sandbox has.
func (w *placesWorld) end(i int) {
	sandbox := w.objects[i]
	switch {
	case holdsPlace(sandbox) != "" && w.random.IntN(2) == 0:
		sandbox.Status.Incarnation, sandbox.Status.SandboxID, sandbox.Status.State = 1, "id", v1alpha1.SandboxGone
		sandbox.Status.Provider = &crowded
		w.wrote(sandbox)
		if w.random.IntN(2) == 0 {
			w.note(sandbox)
		}
	default:
		w.objects = slices.Delete(w.objects, i, i+1)
		w.unheard = append(w.unheard, heard{uid: sandbox.UID})
		w.gone = append(w.gone, sandbox.DeepCopy())
	}
}

// hear has the cache tell the next of what it has not told.
func (w *placesWorld) hear() {
	next := w.unheard[0]
	w.unheard = w.unheard[1:]
	if next.object == nil {
		w.forget(next.uid)
		return
	}
	w.tell(next.object)
}

// woken makes a pass over each Sandbox that was woken.
func (w *placesWorld) woken() {
	for {
		select {
		case e := <-w.wakes.events:
			for _, sandbox := range w.objects {
				if sandbox.Name == e.Object.GetName() {
					w.pass(sandbox)
				}
			}
		default:
			return
		}
	}
}

func (w *placesWorld) holding() (n int) {
	for _, sandbox := range w.objects {
		if holdsPlace(sandbox) != "" {
			n++
		}
	}
	return n
}

func (w *placesWorld) step() {
	switch what := w.random.IntN(10); {
	case what < 2:
		w.create()
	case what < 6 && len(w.objects) > 0:
		w.pass(w.objects[w.random.IntN(len(w.objects))])
	case what < 7 && len(w.objects) > 0:
		w.end(w.random.IntN(len(w.objects)))
	case what < 8 && len(w.gone) > 0:
		w.stale(w.gone[w.random.IntN(len(w.gone))])
	case len(w.unheard) > 0:
		w.hear()
	}
}

// Whatever comes in whatever order: never more than may be, and never a free place while somebody waits who was told to.
func TestPlacesAreNeverGivenTwiceAndNeverLost(t *testing.T) {
	for seed := range uint64(60) {
		g := NewWithT(t)
		w := newPlacesWorld(seed, 3)
		for range 400 {
			w.step()
			g.Expect(w.holding()).To(BeNumerically("<=", w.most), "seed %d", seed)
		}
		for len(w.unheard) > 0 {
			w.hear()
		}
		// One pass over each, as each gets when it is made, and from then on only over those that are woken.
		for _, sandbox := range w.objects {
			w.pass(sandbox)
		}
		for range 400 {
			for i, sandbox := range w.objects {
				if holdsPlace(sandbox) != "" && w.random.IntN(20) == 0 {
					w.end(i)
					break
				}
			}
			for len(w.unheard) > 0 {
				w.hear()
			}
			w.woken()
		}
		for _, sandbox := range w.objects {
			waits := holdsPlace(sandbox) == "" && awaitsPlace(sandbox)
			g.Expect(waits && w.holding() < w.most).To(BeFalse(), "seed %d: %s waits for ever", seed, sandbox.Name)
		}
		g.Expect(w.known).To(HaveLen(len(w.objects)), "seed %d", seed)
	}
}

func TestPlacesGoToTheOldest(t *testing.T) {
	g := NewWithT(t)
	w := newPlacesWorld(1, 2)
	for range 5 {
		w.create()
	}
	for len(w.unheard) > 0 {
		w.hear()
	}
	for _, i := range []int{4, 2, 3, 1, 0} {
		g.Expect(w.took(w.objects[i], crowded, queuesFor(w.objects[i]))).To(Equal(i < 2), "%d", i)
	}
	w.forget(w.objects[0].UID)
	var woken event.GenericEvent
	g.Expect(w.wakes.events).To(Receive(&woken))
	g.Expect(woken.Object.GetName()).To(Equal("box-0002"), "who waits longest is woken first")
	g.Expect(w.took(w.objects[3], crowded, queuesFor(w.objects[3]))).To(BeFalse(), "box-0002 is older")
	g.Expect(w.took(w.objects[2], crowded, queuesFor(w.objects[2]))).To(BeTrue())
}

// BenchmarkPlaces makes and ends Sandboxes of a provider that has room for half of them: the time of one must not grow with b.N.
func BenchmarkPlaces(b *testing.B) {
	w := newPlacesWorld(1, b.N/2)
	for b.Loop() {
		w.create()
		w.hear()
		w.pass(w.objects[len(w.objects)-1])
	}
}

func TestPlacesLetOnWhoStandsBehindOneThatSteppedAside(t *testing.T) {
	g := NewWithT(t)
	w := newPlacesWorld(1, 1)
	w.create()
	w.create()
	w.hear()
	w.hear()
	g.Expect(w.took(w.objects[1], crowded, queuesFor(w.objects[1]))).To(BeFalse(), "box-0000 is older")
	w.forget(w.objects[0].UID)
	g.Expect(w.wakes.events).To(Receive())
	g.Expect(w.took(w.objects[1], crowded, queuesFor(w.objects[1]))).To(BeTrue())
}

func TestPlacesAreNotKeptByWhoWaitsForAnotherProvider(t *testing.T) {
	g := NewWithT(t)
	w := newPlacesWorld(1, 1)
	for _, name := range []string{"first", "second"} {
		sandbox := builders.MakeSandbox("team", name).Obj()
		sandbox.UID, sandbox.CreationTimestamp = types.UID(name), metav1.NewTime(noon)
		w.wrote(sandbox)
		w.hear()
		g.Expect(w.took(sandbox, crowded, []queue{{namespace: "team"}})).To(Equal(name == "first"))
	}
	other := builders.MakeSandbox("other", "third").Obj()
	other.UID, other.CreationTimestamp = "third", metav1.NewTime(noon.Add(time.Minute))
	w.wrote(other)
	w.hear()
	cluster := v1alpha1.ProviderIdentity{Kind: v1alpha1.KindClusterSandboxProvider, Name: "c", UID: "c"}
	g.Expect(w.took(other, cluster, []queue{{}})).To(BeTrue(), "the default of all waits for who waits for that of his namespace")
}

func TestPlacesWakeNobodyInTheNameOfWhoSteppedAside(t *testing.T) {
	g := NewWithT(t)
	w := newPlacesWorld(1, 1)
	for range 3 {
		w.create()
		w.hear()
		w.took(w.objects[len(w.objects)-1], crowded, queuesFor(w.objects[len(w.objects)-1]))
	}
	w.objects[1].DeletionTimestamp = new(metav1.NewTime(noon))
	w.wrote(w.objects[1])
	w.hear()
	g.Expect(w.away[crowded]).To(HaveLen(1))
}

func TestPlacesBelieveNoOlderWordThanTheirOwn(t *testing.T) {
	g := NewWithT(t)
	w := newPlacesWorld(1, 1)
	w.create()
	w.create()
	for holdsPlace(w.objects[1]) == "" {
		w.pass(w.objects[1])
	}
	w.hear()
	w.hear()
	g.Expect(w.took(w.objects[0], crowded, queuesFor(w.objects[0]))).To(BeFalse(), "the cache told how it was before its journal")
}

func TestPlacesAreGivenBackWhereTheJournalCertainlyWasNotWritten(t *testing.T) {
	resource := v1alpha1.GroupVersion.WithResource("sandboxes").GroupResource()
	for name, c := range map[string]struct {
		answer error
		held   int
	}{
		"the object is gone":                       {apierrors.NewNotFound(resource, "box-0000"), 0},
		"another wrote":                            {apierrors.NewConflict(resource, "box-0000", errRefused), 0},
		"the answer was lost, and it may be there": {errRefused, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newPlacesWorld(1, 1)
			w.create()
			mine := w.objects[0].DeepCopy()
			g.Expect(w.took(mine, crowded, queuesFor(mine))).To(BeTrue())
			p := &sandboxPass{sandbox: mine, sandboxReconciler: &sandboxReconciler{shared: &shared{client: refusing{err: c.answer}}}}

			err := p.writeJournal(t.Context(), (*journal)(nil).next(noon, crowded, mine))
			g.Expect(err).To(MatchError(c.answer))
			w.settle(mine)
			g.Expect(w.held[crowded.UID]).To(Equal(c.held))
		})
	}
}
