package hypervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"

	"lodge/virt"
)

// essence is what of a definition lodge answers for, as it stands in the XML: a
// tenant has asked for it and pays for it. Everything else that an operator adds
// by hand (a device passed through, a CD-ROM) is the operator's affair.
// https://libvirt.org/formatdomain.html
type essence struct {
	XMLName xml.Name       `xml:"domain" json:"-"`
	VCPUs   essentialCPUs  `xml:"vcpu"`
	Memory  quantity       `xml:"memory"`
	Balloon quantity       `xml:"currentMemory"`
	Disks   []essentialHD  `xml:"devices>disk"`
	NICs    []essentialNIC `xml:"devices>interface"`
}

type essentialCPUs struct {
	Most    string `xml:",chardata"`
	Current string `xml:"current,attr"`
}

type quantity struct {
	Unit  string `xml:"unit,attr"`
	Value string `xml:",chardata"`
}

type essentialHD struct {
	Device string `xml:"device,attr"`
	Driver struct {
		Type string `xml:"type,attr"`
	} `xml:"driver"`
	Source struct {
		File string `xml:"file,attr"`
	} `xml:"source"`
	Target struct {
		Dev string `xml:"dev,attr"`
	} `xml:"target"`
	ReadOnly *struct{} `xml:"readonly"`
	Serial   string    `xml:"serial"`
}

type essentialNIC struct {
	Type string `xml:"type,attr"`
	MAC  struct {
		Address string `xml:"address,attr"`
	} `xml:"mac"`
	Source struct {
		Network string `xml:"network,attr"`
		Bridge  string `xml:"bridge,attr"`
	} `xml:"source"`
}

// readEssence reads it, with disks for disks alone.
func readEssence(text string) (e essence, err error) {
	if err := xml.Unmarshal([]byte(text), &e); err != nil {
		return e, err
	}
	disks := e.Disks[:0]
	for _, d := range e.Disks {
		if d.Device == "" || d.Device == "disk" {
			d.Device = ""
			disks = append(disks, d)
		}
	}
	e.Disks = disks
	return e, nil
}

// rootOf is the file of the first disk of a definition, "" when there is none: a
// volume that was moved is still named where it was.
func rootOf(text string) string {
	e, err := readEssence(text)
	if err != nil || len(e.Disks) == 0 {
		return ""
	}
	root := e.Disks[0].Source.File
	if _, err := os.Stat(root); root == "" || errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return root
}

// essenceOf is a short fingerprint of the essence of a definition: the same for
// what lodge wrote and for what libvirt made of it. "" when it cannot be read.
func essenceOf(text string) string {
	e, err := readEssence(text)
	if err != nil {
		return ""
	}
	e.VCPUs.Most = strings.TrimSpace(e.VCPUs.Most)
	if e.VCPUs.Current == e.VCPUs.Most { // the default, which libvirt leaves out
		e.VCPUs.Current = ""
	}
	e.Memory = kibibytes(e.Memory)
	if e.Balloon = kibibytes(e.Balloon); e.Balloon == e.Memory { // the default, which libvirt writes down
		e.Balloon = quantity{}
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// kibibytes is a quantity in libvirt's own unit, in which it writes whatever it
// was told in another.
func kibibytes(q quantity) quantity {
	n, err := strconv.ParseUint(strings.TrimSpace(q.Value), 10, 64)
	if err != nil {
		return q
	}
	if q.Unit == "MiB" {
		n *= 1024
	}
	return quantity{"KiB", strconv.FormatUint(n, 10)}
}

// edited reports whether somebody else has changed the essence of the next
// start since lodge defined it, and the root disk of that then.
func edited(d *libvirt.Domain, m *mark) (changed bool, root string, err error) {
	text, err := d.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if virt.Is(err, libvirt.ERR_OPERATION_INVALID) {
		return false, "", nil
	}
	if err != nil || essenceOf(text) == m.Essence {
		return false, "", err
	}
	return true, rootOf(text), nil
}
