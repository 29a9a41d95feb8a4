package cloud

import "time"

// ImageFormat is how the bytes of an image are laid out. It is written down at
// import and forced ever after; nothing guesses it again.
type ImageFormat string

// The formats lodge accepts. Everything else is refused.
const (
	FormatRaw   ImageFormat = "raw"
	FormatQcow2 ImageFormat = "qcow2"
)

// Firmware is what starts the guest.
type Firmware string

// The firmwares.
const (
	FirmwareBIOS Firmware = "bios"
	FirmwareUEFI Firmware = "uefi"
)

// ImageState is where an image is on its road.
type ImageState string

// The states of an image.
const (
	ImageQueued    ImageState = "queued"    // wanted, nothing fetched yet
	ImageImporting ImageState = "importing" // bytes are arriving
	ImageActive    ImageState = "active"    // usable
	ImageError     ImageState = "error"     // will not become active; Problem says why
	ImageGone      ImageState = "gone"      // tombstone
)

// ImageStates lists the states of images that are there: all but ImageGone.
func ImageStates() []ImageState {
	return []ImageState{ImageQueued, ImageImporting, ImageActive, ImageError}
}

// ImageSource is the way the bytes come.
type ImageSource string

// The sources.
const (
	SourceUpload ImageSource = "upload"
	SourceURL    ImageSource = "url"
)

// Image is a bootable disk that instances start from.
type Image struct {
	Meta
	TenantID  string
	Name      string
	Public    bool // every tenant may use it
	Default   bool // the one used when a request names none
	Source    ImageSource
	URL       string // for SourceURL
	SHA256    string // 64 hex digits: as promised until active, as measured after
	Firmware  Firmware
	User      string // the login cloud-init makes ("debian"); "" unknown
	Protected bool   // its deletion is refused

	State       ImageState
	Problem     *Problem
	Format      ImageFormat
	SizeBytes   int64 // of the file
	VirtualSize int64 // bytes a guest sees
	BytesDone   int64 // progress of an import
	BytesTotal  int64 // 0: unknown
	HostID      string
	DeletedAt   time.Time
}

// ImageInfo is what was found out about bytes that were imported.
type ImageInfo struct {
	Format      ImageFormat
	SHA256      string
	SizeBytes   int64
	VirtualSize int64
}

// ImageRecord is what has become of an import or a removal.
type ImageRecord struct {
	ID      string
	State   ImageState
	Problem *Problem
	Info    *ImageInfo // set with ImageActive
	// Answer is the answer to the upload, kept with the record for the
	// Idempotency-Key that it came with. Nil: none is kept.
	Answer func(Image) (Answer, error)
}
