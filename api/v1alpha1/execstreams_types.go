// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ExecStreams says how much of each stream to keep in status.
//
// +kubebuilder:validation:MinProperties=1
type ExecStreams struct {
	// stdout is how much of standard output to keep.
	// +optional
	Stdout *StreamLimits `json:"stdout,omitempty"`

	// stderr is how much of standard error to keep.
	// +optional
	Stderr *StreamLimits `json:"stderr,omitempty"`

	// progress Enabled shows in status, while the command runs, what it printed last: at most one write in two seconds, and
	// none while it prints nothing. Disabled, which holds where nothing is said, writes nothing while it runs.
	// +optional
	Progress StreamProgress `json:"progress,omitempty"`
}

// StreamProgress says whether status shows what is printed while a command runs.
// +kubebuilder:validation:Enum=Disabled;Enabled
type StreamProgress string

// The values of progress.
const (
	// ProgressDisabled writes nothing while the command runs. It holds where nothing is said.
	ProgressDisabled StreamProgress = "Disabled"
	// ProgressEnabled shows what was printed last.
	ProgressEnabled StreamProgress = "Enabled"
)

// StreamLimits is how much of a stream to keep: its beginning and its end. What is shorter than both together is kept whole.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.headBytes) ? self.headBytes : 8192) + (has(self.tailBytes) ? self.tailBytes : 8192) <= 65536",message="headBytes and tailBytes may be at most 65536 together, and each is 8192 where it is not set: to keep 65536 of one, set the other to 0"
type StreamLimits struct {
	// headBytes is how many of the first bytes to keep. Without it, 8192.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	HeadBytes *int32 `json:"headBytes,omitempty"`

	// tailBytes is how many of the last bytes to keep. Without it, 8192.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	TailBytes *int32 `json:"tailBytes,omitempty"`

	// to is where the whole stream goes, beside what is kept in status: up to 900 KiB. Of one that is longer, beginning and
	// end go to the keys with .head and .tail at their ends.
	// +optional
	To *OutputDestination `json:"to,omitempty"`
}

// StreamRetention says whether the whole of a stream is in status.
// +kubebuilder:validation:Enum=Complete;Truncated;Dropped;Withheld;Unknown;Partial;Compacted
type StreamRetention string

// The retentions of a stream.
const (
	// RetentionComplete: head is the whole stream.
	RetentionComplete StreamRetention = "Complete"
	// RetentionTruncated: head and tail are its beginning and end; the middle is missing.
	RetentionTruncated StreamRetention = "Truncated"
	// RetentionDropped: nothing of it was kept, because the API server refused the result with it.
	RetentionDropped StreamRetention = "Dropped"
	// RetentionWithheld: nothing of it was kept, because the Secrets that the command was given have changed since, so that
	// their old values could not be taken out.
	RetentionWithheld StreamRetention = "Withheld"
	// RetentionUnknown: the disk of the sandbox was full when the command ended; head and tail are what could be written of
	// the stream, and what came last may be missing.
	RetentionUnknown StreamRetention = "Unknown"
	// RetentionPartial: the command runs; tail is what it printed last, and bytes how much it has printed so far.
	RetentionPartial StreamRetention = "Partial"
	// RetentionCompacted: nothing of it is kept any more, because the run finished long ago.
	RetentionCompacted StreamRetention = "Compacted"
)

// StreamEncoding says whether a stream was text.
// +kubebuilder:validation:Enum=UTF8;Replaced
type StreamEncoding string

// The encodings of a stream.
const (
	// EncodingUTF8: what was kept is exact.
	EncodingUTF8 StreamEncoding = "UTF8"
	// EncodingReplaced: bytes that are no UTF-8 were replaced by U+FFFD.
	EncodingReplaced StreamEncoding = "Replaced"
)

// StreamStatus is what a command printed on one stream.
type StreamStatus struct {
	// head is the beginning of the stream, or the whole where retention is Complete.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=262144
	Head string `json:"head,omitempty"`

	// tail is the end of the stream, where retention is Truncated or Partial.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=262144
	Tail string `json:"tail,omitempty"`

	// bytes is how many bytes the command printed, kept or not.
	// +required
	// +kubebuilder:validation:Minimum=0
	Bytes *int64 `json:"bytes,omitempty"`

	// retention says whether all of it is here: Complete (head is all), Truncated (head and tail are beginning and end),
	// Partial (the command runs; tail is what came last), Unknown (the sandbox's disk was full, the end may be missing), or
	// nothing of it: Withheld (a Secret that the command had has changed), Dropped (the API server refused it), Compacted (the
	// run finished long ago).
	// +required
	Retention StreamRetention `json:"retention,omitempty"`

	// encoding says whether what is here is exact (UTF8), or has U+FFFD for bytes that are no UTF-8 (Replaced).
	// +required
	Encoding StreamEncoding `json:"encoding,omitempty"`

	// sha256 of the whole stream, in hexadecimal; not set where it could not be computed.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// storedIn is the object that has the whole stream.
	// +optional
	StoredIn *StoredObject `json:"storedIn,omitempty"`
}

// StoredObject is where content was put. Exactly one of configMap and secret is set.
type StoredObject struct {
	// configMap is the name of the ConfigMap.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConfigMap string `json:"configMap,omitempty"`

	// secret is the name of the Secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret,omitempty"`

	// keys that hold the content: one, or two that hold beginning and end.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Keys []string `json:"keys,omitempty"`
}
