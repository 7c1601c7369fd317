// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/tracing"
)

// What the program tells about itself: metrics, traces, logs.

// Forms of the log.
const (
	logJSON = "json"
	logText = "text"
)

// flushTime is how long traces may take to reach the collector when the program ends.
const flushTime = 3 * time.Second

// formLogs sets the form of the log.
func (s *settings) formLogs() {
	switch s.logFormat {
	case logJSON:
		zap.JSONEncoder()(&s.zap)
	case logText:
		zap.ConsoleEncoder()(&s.zap)
	}
}

func (s *settings) checkTelling() error {
	switch s.logFormat {
	case "", logJSON, logText:
	default:
		return fmt.Errorf("--log-format: %q is neither %s nor %s", s.logFormat, logJSON, logText)
	}
	if s.metricsLimit < 1 {
		return errors.New("--metrics-limit must be 1 or more")
	}
	if s.tracingRatio < 0 || s.tracingRatio > 1 {
		return errors.New("--tracing-ratio must be from 0 to 1")
	}
	if s.tracingEndpoint != "" {
		if err := tracing.CheckEndpoint(s.tracingEndpoint); err != nil {
			return fmt.Errorf("--tracing-endpoint: %w", err)
		}
	}
	return nil
}

// startTelling begins with metrics and traces. The function that it returns sends the traces that are left.
func (s *settings) startTelling(ctx context.Context) (stop func(), err error) {
	metrics.SetLimit(s.metricsLimit)
	metrics.BuildInfo.WithLabelValues(s.version, goruntime.Version()).Set(1)
	end, err := tracing.Start(ctx, tracing.Options{
		Endpoint: s.tracingEndpoint, Ratio: s.tracingRatio, Version: s.version, Log: ctrl.Log.WithName("tracing"),
	})
	if err != nil {
		return nil, fmt.Errorf("--tracing-endpoint: %w", err)
	}
	return func() { end(flushTime) }, nil
}
