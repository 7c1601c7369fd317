// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leaseName is the lease of the operator; an instance with --shard has its name behind it.
const leaseName = "manager.sandboxes.run"

const startIt = "see its pods and logs: kubectl get pods -A -l app.kubernetes.io/name=sandbox-operator"

// manager looks whether an operator works: by its lease, and by its Deployment. Either may be out of sight.
func (p *patient) manager(ctx context.Context) []Finding {
	const check = "manager"
	var findings []Finding
	leases := &coordinationv1.LeaseList{}
	leaseErr := p.List(ctx, leases, client.InNamespace(p.operatorNamespace))
	for i := range leases.Items {
		if lease := &leases.Items[i]; lease.Name == leaseName || strings.HasPrefix(lease.Name, leaseName+"-") {
			findings = append(findings, p.lease(lease))
		}
	}
	deployments := &appsv1.DeploymentList{}
	deploymentErr := p.List(ctx, deployments, client.InNamespace(p.operatorNamespace),
		client.MatchingLabels{"app.kubernetes.io/name": "sandbox-operator"})
	for i := range deployments.Items {
		findings = append(findings, deployment(&deployments.Items[i]))
	}
	switch {
	case leaseErr != nil && deploymentErr != nil:
		return []Finding{warned(check, "ask an administrator, or see with --try whether one works",
			"you may not read namespace %s, so that it can't be told whether an operator works", p.operatorNamespace)}
	case len(findings) == 0: // also where one of the two may not be read: said nothing, it would look as if all were well
		return []Finding{warned(check,
			"install it (docs/install.md); or say where it is: --operator-namespace; --try tells whether one works",
			"neither a lease nor a Deployment of an operator can be seen in namespace %s", p.operatorNamespace)}
	}
	return findings
}

// lease says whether its holder lives.
func (p *patient) lease(lease *coordinationv1.Lease) Finding {
	const check = "manager"
	if lease.Spec.RenewTime == nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return failed(check, startIt, "nobody holds the lease %s: no operator works", lease.Name)
	}
	patience := time.Minute
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		patience = 2 * time.Duration(*seconds) * time.Second
	}
	since := p.now.Sub(lease.Spec.RenewTime.Time)
	if since > patience {
		return failed(check, startIt, "no operator works: the lease %s was last renewed %s ago, by %s",
			lease.Name, duration.HumanDuration(since), *lease.Spec.HolderIdentity)
	}
	return fine(check, "%s works (lease %s, renewed %s ago)", *lease.Spec.HolderIdentity, lease.Name, since.Round(time.Second))
}

// deployment says whether its pods are there.
func deployment(d *appsv1.Deployment) Finding {
	const check = "manager"
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	text := fmt.Sprintf("Deployment %s/%s: %d of %d pods are available", d.Namespace, d.Name, d.Status.AvailableReplicas, wanted)
	switch {
	case d.Status.AvailableReplicas == 0:
		return failed(check, startIt, "%s", text)
	case d.Status.AvailableReplicas < wanted:
		return warned(check, startIt, "%s", text)
	}
	return fine(check, "%s", text)
}
