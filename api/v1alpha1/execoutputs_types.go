// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ExecOutput is a file or directory that is read after the command ended.
type ExecOutput struct {
	// path of the file or directory: absolute and clean. A directory gives its listing, not its content.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/|(/[^/]+)+)$') && !self.matches('/[.][.]?(/|$)')",message="must be an absolute, clean path such as /workspace/report.json: no '.', '..' or empty element, no slash at the end"
	Path string `json:"path,omitempty"`

	// presence Required makes the outcome Failed where the path is missing, or can't be stored as it should, though the
	// command succeeded. Optional, which holds where nothing is said, only says so in status.
	// +optional
	Presence OutputPresence `json:"presence,omitempty"`

	// to is where the content of a file goes. Without it, into status: text of up to 16 KiB, and of all outputs and listings
	// together about 32 KiB.
	// +optional
	To *OutputDestination `json:"to,omitempty"`
}

// OutputPresence says whether an output must be there.
// +kubebuilder:validation:Enum=Optional;Required
type OutputPresence string

// The presences of an output.
const (
	// OutputOptional says in status that it is missing. It holds where nothing is said.
	OutputOptional OutputPresence = "Optional"
	// OutputRequired makes the outcome Failed.
	OutputRequired OutputPresence = "Required"
)

// OutputDestination is a key of a ConfigMap or Secret that is made for this run, owned by it, and deleted with it. One that
// exists already is never overwritten. All that goes into one object may be 900 KiB together. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.configMap) != has(self.secret)",message="set exactly one of configMap and secret"
type OutputDestination struct {
	// configMap holds what is text in data, and other content in binaryData. Values of Secrets are taken out.
	// +optional
	ConfigMap *DestinationKey `json:"configMap,omitempty"`

	// secret holds the content as it is.
	// +optional
	Secret *DestinationKey `json:"secret,omitempty"`
}

// DestinationKey is where in which object content is put.
//
// +kubebuilder:validation:MinProperties=0
type DestinationKey struct {
	// name of the object. Without it, the name of the SandboxExec.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be a name of an object: lower case letters, digits, dashes and dots, beginning and ending with a letter or digit"
	Name string `json:"name,omitempty"`

	// key in it. Without it, the last element of the path, or stdout or stderr. Of rich results it stands before the name of each.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="must be a key of a Secret or ConfigMap: letters, digits, dashes, underscores and dots"
	Key string `json:"key,omitempty"`
}

// OutputState is what became of an output.
// +kubebuilder:validation:Enum=Kept;Stored;Listed;Missing;TooLarge;NotText;NotRegular;Unreadable;Conflict;Withheld;Dropped;Compacted
type OutputState string

// The states of an output.
const (
	// OutputKept: content has all of it.
	OutputKept OutputState = "Kept"
	// OutputStored: it is in the object of storedIn.
	OutputStored OutputState = "Stored"
	// OutputListed: it is a directory; entries has what is in it.
	OutputListed OutputState = "Listed"
	// OutputMissing: there was nothing at the path.
	OutputMissing OutputState = "Missing"
	// OutputTooLarge: it is larger than what its destination takes; the message says what to do.
	OutputTooLarge OutputState = "TooLarge"
	// OutputNotText: it is no UTF-8, which status can't hold; the message says what to do.
	OutputNotText OutputState = "NotText"
	// OutputNotRegular: it is neither a file nor a directory, such as a device or a pipe.
	OutputNotRegular OutputState = "NotRegular"
	// OutputUnreadable: it could not be read; the message says why.
	OutputUnreadable OutputState = "Unreadable"
	// OutputConflict: the object that it was to be put into exists, and is not this run's.
	OutputConflict OutputState = "Conflict"
	// OutputWithheld: the Secrets that the command was given have changed since, so that their old values could not be
	// taken out.
	OutputWithheld OutputState = "Withheld"
	// OutputDropped: it was not kept, because the API server refused the result with it.
	OutputDropped OutputState = "Dropped"
	// OutputCompacted: it is not kept any more, because the run finished long ago.
	OutputCompacted OutputState = "Compacted"
)

// OutputStatus is what became of one output.
type OutputStatus struct {
	// name is the path in spec.outputs, or the name of a rich result of engine Native.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name,omitempty"`

	// state says what became of it: Kept (content has it), Stored (storedIn says where it is), Listed (a directory: entries has
	// what is in it), Missing, TooLarge, NotText (status can't hold it), NotRegular (a device or pipe), Unreadable, Conflict
	// (the object that it should go to is not this run's), Withheld (a Secret that the command had has changed), Dropped (the
	// API server refused it), or Compacted (the run finished long ago).
	// +required
	State OutputState `json:"state,omitempty"`

	// message says more, where there is more to say.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// mediaType of a rich result.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	MediaType string `json:"mediaType,omitempty"`

	// bytes is the size of the file.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes *int64 `json:"bytes,omitempty"`

	// mode are the permission bits, as an octal number such as 0644. Not set where the path is a link.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8
	Mode string `json:"mode,omitempty"`

	// sha256 of the file, in hexadecimal. Not set where values of Secrets were taken out of it.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// content is the file, where state is Kept.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Content string `json:"content,omitempty"`

	// entries are what is in the directory, sorted by name: the first hundred.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Entries []DirectoryEntry `json:"entries,omitempty"`

	// entryCount is how many entries the directory has.
	// +optional
	// +kubebuilder:validation:Minimum=0
	EntryCount *int32 `json:"entryCount,omitempty"`

	// storedIn is the object that has it, where state is Stored.
	// +optional
	StoredIn *StoredObject `json:"storedIn,omitempty"`
}

// DirectoryEntry is a file in a directory.
type DirectoryEntry struct {
	// name of the file; bytes that are no UTF-8 are replaced by U+FFFD.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name,omitempty"`

	// type of the file.
	// +required
	Type EntryType `json:"type,omitempty"`

	// bytes is its size; 0 for directories.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes *int64 `json:"bytes,omitempty"`

	// mode are the permission bits, as an octal number such as 0644.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8
	Mode string `json:"mode,omitempty"`
}

// EntryType is the type of a file in a directory.
// +kubebuilder:validation:Enum=File;Directory;Link;Other
type EntryType string

// The types of files.
const (
	EntryFile      EntryType = "File"
	EntryDirectory EntryType = "Directory"
	EntryLink      EntryType = "Link"
	EntryOther     EntryType = "Other"
)
