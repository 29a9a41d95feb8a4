package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// UpdateImage changes what may change of an image: its name, its labels, who may
// use it, whether it may be deleted, and whether it is the default of its tenant. What is so already is no
// change.
//
// Returns CodeNotFound, CodeForbidden for a public image of another tenant and
// for making one public by anybody but an operator, CodeNameTaken, CodeInvalid
// for too many labels, CodeImageNotReady for a default that cannot be started
// from.
func (d *DB) UpdateImage(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.ImageChange) (img cloud.Image, err error) {
	err = d.write(ctx, now, c, "image.update", func(t *tx) error {
		if img, err = t.changeableImage(id); err != nil {
			return err
		}
		if err := t.changeImage(img, ch); err != nil {
			return err
		}
		img, _, err = imageByID(t, id)
		t.answer = img
		return err
	})
	return img, err
}

// changeableImage is an image that the caller owns.
func (t *tx) changeableImage(id string) (cloud.Image, error) {
	img, found, err := imageByID(t, id)
	if err != nil {
		return img, err
	}
	c := t.caller
	switch {
	case !found || !img.DeletedAt.IsZero() || (!c.Sees(img.TenantID) && !img.Public):
		return img, noImage(id)
	case !c.Sees(img.TenantID):
		return img, cloud.Errorf(cloud.CodeForbidden, "The image %s is public and belongs to another tenant; only its owner or an operator changes it.", img.Name)
	}
	return img, c.Expects(img.Tag())
}

func (t *tx) changeImage(img cloud.Image, ch cloud.ImageChange) error {
	name, public, protected := img.Name, img.Public, img.Protected
	if ch.Name != nil && *ch.Name != name {
		name = *ch.Name
		if err := t.refuseImageName(img.TenantID, name); err != nil {
			return err
		}
	}
	if ch.Public != nil && *ch.Public != public {
		if public = *ch.Public; public && !t.caller.Operator {
			return cloud.Errorf(cloud.CodeForbidden, "Only an operator makes an image public; leave it private, or ask yours.")
		}
	}
	if ch.Protected != nil {
		protected = *ch.Protected
	}
	labels, err := relabelled(img.Labels, ch.LabelChange)
	if err != nil {
		return err
	}
	if err := t.changeDefault(img, ch.Default); err != nil {
		return err
	}
	isDefault := img.Default
	if ch.Default != nil {
		isDefault = *ch.Default
	}
	if name == img.Name && public == img.Public && isDefault == img.Default && protected == img.Protected && asJSON(labels) == asJSON(img.Labels) {
		return nil
	}
	_, err = t.exec(`
		UPDATE image
		SET name = ?,
		    labels = ?,
		    public = ?,
		    protected = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, name, asJSON(labels), public, protected, stamp(t.now), img.ID)
	if err != nil {
		return err
	}
	was := imageFact(img)
	is := was
	is.Name, is.Labels = name, labels
	if !is.Same(was) {
		if err := t.fact(is); err != nil {
			return err
		}
	}
	return t.event(img.TenantID, cloud.Ref{Kind: cloud.KindImage, ID: img.ID}, name, "image.updated", "The image "+name+" was changed.", nil)
}

func (t *tx) changeDefault(img cloud.Image, want *bool) error {
	if want == nil || *want == img.Default {
		return nil
	}
	if !*want {
		_, err := t.exec(`UPDATE image SET is_default = 0 WHERE id = ?`, img.ID)
		return err
	}
	if img.State != cloud.ImageActive {
		return cloud.Errorf(cloud.CodeImageNotReady, "The image %s cannot be started from, so it cannot be the default; wait until it is active.", img.Name)
	}
	return t.makeDefault(img)
}
