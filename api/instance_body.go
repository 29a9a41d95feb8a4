package api

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"lodge/api/wire"
	"lodge/cloud"
)

// newInstance checks the body of a create and says everything that is wrong
// with it at once.
func newInstance(b wire.CreateInstance) (cloud.NewInstance, error) {
	n := cloud.NewInstance{
		Name: b.Name, Labels: b.Labels, FlavorID: b.Flavor, Image: lowerID(b.Image),
		UserData: b.UserData, Stopped: b.Power == string(cloud.PowerOff), Protected: b.Protected,
	}
	bad := cloud.ValidateName("name", b.Name)
	bad = append(bad, cloud.ValidateLabels("labels", b.Labels)...)
	bad = append(bad, instanceSize(b, &n)...)
	bad = append(bad, cloud.ValidateUserData("user_data", b.UserData)...)
	keys, badKeys := sshKeys("ssh_keys", b.SSHKeys)
	n.SSHKeys = keys
	bad = append(bad, badKeys...)
	if b.Flavor != "" {
		bad = append(bad, cloud.ValidateFlavorID("flavor", b.Flavor)...)
	}
	if b.Image != "" {
		bad = append(bad, validateRef("image", b.Image)...)
	}
	if b.Power != "" && b.Power != string(cloud.PowerOn) && b.Power != string(cloud.PowerOff) {
		bad = append(bad, cloud.FieldError{Field: "power", Message: fmt.Sprintf("The power is %q or %q, not %s.", cloud.PowerOn, cloud.PowerOff, quote(b.Power))})
	}
	return n, cloud.Invalid(bad)
}

// validateRef checks the id or name of an image.
func validateRef(field, ref string) []cloud.FieldError {
	if cloud.IsUUID(lowerID(ref)) {
		return nil
	}
	return cloud.ValidateImageName(field, ref)
}

func instanceSize(b wire.CreateInstance, n *cloud.NewInstance) (bad []cloud.FieldError) {
	say := func(field, format string, args ...any) {
		bad = append(bad, cloud.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if b.Size != "" {
		size, err := cloud.ParseSize(b.Size)
		switch {
		case err != nil:
			say("size", "%s", cloud.MessageOf(err))
		case b.Flavor != "":
			say("size", "A size and a flavor are both given; one of them is enough.")
		case b.VCPUs != nil || b.MemoryMiB != nil:
			say("size", "A size is given in words and in numbers; one of them is enough.")
		case b.DiskGiB != nil && size.DiskGiB != 0:
			say("disk_gib", "The disk is given in the size and by itself; one of them is enough.")
		}
		n.VCPUs, n.MemoryMiB, n.DiskGiB = size.VCPUs, size.MemoryMiB, size.DiskGiB
	}
	if b.VCPUs != nil {
		bad = append(bad, cloud.ValidateVCPUs("vcpus", *b.VCPUs)...)
		n.VCPUs = *b.VCPUs
	}
	if b.MemoryMiB != nil {
		bad = append(bad, cloud.ValidateMemoryMiB("memory_mib", *b.MemoryMiB)...)
		n.MemoryMiB = *b.MemoryMiB
	}
	if b.DiskGiB != nil {
		bad = append(bad, cloud.ValidateDiskGiB("disk_gib", *b.DiskGiB)...)
		n.DiskGiB = *b.DiskGiB
	}
	return bad
}

// sshKeys checks lines of authorized_keys: a key and perhaps a comment, no
// options, one line each.
func sshKeys(field string, lines []string) (keys []string, bad []cloud.FieldError) {
	if len(lines) > cloud.MaxSSHKeys {
		return nil, []cloud.FieldError{{Field: field, Message: fmt.Sprintf("An instance has at most %d SSH keys; these are %d.", cloud.MaxSSHKeys, len(lines))}}
	}
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if msg := sshKeyFault(line); msg != "" {
			bad = append(bad, cloud.FieldError{Field: fmt.Sprintf("%s[%d]", field, i), Message: msg})
			continue
		}
		keys = append(keys, line)
	}
	return keys, bad
}

func sshKeyFault(line string) string {
	if len(line) > cloud.MaxSSHKey {
		return fmt.Sprintf("An SSH key has at most %d bytes; this one has %d.", cloud.MaxSSHKey, len(line))
	}
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
		return "An SSH key is one line of text; this one has line breaks or control characters."
	}
	if strings.Contains(line, "PRIVATE KEY") {
		return "This is a private key; keep it to yourself and send the public one."
	}
	_, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return "This is not an SSH public key such as \"ssh-ed25519 AAAA... comment\"."
	case len(options) > 0 || len(rest) > 0:
		return "An SSH key is given without options in front of it."
	}
	return ""
}

// instanceChange checks the body of a PATCH.
func instanceChange(b wire.UpdateInstance) (cloud.InstanceChange, error) {
	ch := cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: b.Labels}, Name: b.Name, VCPUs: b.VCPUs, MemoryMiB: b.MemoryMiB, Protected: b.Protected}
	var bad []cloud.FieldError
	if b.Name != nil {
		bad = append(bad, cloud.ValidateName("name", *b.Name)...)
	}
	bad = append(bad, checkLabelChange(b.Labels)...)
	if b.VCPUs != nil {
		bad = append(bad, cloud.ValidateVCPUs("vcpus", *b.VCPUs)...)
	}
	if b.MemoryMiB != nil {
		bad = append(bad, cloud.ValidateMemoryMiB("memory_mib", *b.MemoryMiB)...)
	}
	return ch, cloud.Invalid(bad)
}

// checkLabelChange checks the labels of a PATCH; what is taken away may be
// anything.
func checkLabelChange(change map[string]*string) []cloud.FieldError {
	set := map[string]string{}
	for k, v := range change {
		if v != nil {
			set[k] = *v
		}
	}
	return cloud.ValidateLabels("labels", set)
}
