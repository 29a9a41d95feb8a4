package api

import (
	"net/http"
	"reflect"
	"strings"

	"lodge/api/wire"
	"lodge/cloud"
)

var imageStates = []string{
	string(cloud.ImageQueued), string(cloud.ImageImporting), string(cloud.ImageActive),
	string(cloud.ImageError), string(cloud.ImageGone),
}

// createImage takes either JSON that names a URL, or the bytes themselves.
func (s *server) createImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	switch media := mediaType(r); media {
	case "application/json":
		return s.importImage(w, r, c)
	case "application/octet-stream":
		return s.uploadImage(w, r, c)
	}
	return cloud.Errorf(cloud.CodeMediaType, "An image is sent as application/octet-stream, or its URL as application/json, not as %s.", quote(r.Header.Get("Content-Type")))
}

func (s *server) importImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return q.err
	}
	var body wire.ImportImage
	if err := decode(w, r, &body); err != nil {
		return err
	}
	c, err := s.inBody(r, c, cloud.RoleMember, body.Tenant)
	if err != nil {
		return err
	}
	n := cloud.NewImage{
		Name: body.Name, Labels: body.Labels, Public: body.Public, Default: body.Default,
		Source: cloud.SourceURL, URL: body.URL, SHA256: body.SHA256, Firmware: cloud.Firmware(body.Firmware), User: body.LoginUser, Protected: body.Protected,
	}
	if err := checkImage(&n); err != nil {
		return err
	}
	if err := s.URLCheck(n.URL); err != nil {
		return err
	}
	img, err := s.addImage(w, r, c, n, q.Get("tenant"), body.Tenant)
	if err != nil {
		return err
	}
	location(w, "/v1/images/"+img.ID)
	operationLocation(w, c)
	return reply(w, http.StatusAccepted, wireImage(img))
}

// checkImage checks what every new image has, and fills in defaults.
func checkImage(n *cloud.NewImage) error {
	n.SHA256 = strings.ToLower(n.SHA256)
	bad := cloud.ValidateImageName("name", n.Name)
	bad = append(bad, cloud.ValidateLabels("labels", n.Labels)...)
	bad = append(bad, cloud.ValidateSHA256("sha256", n.SHA256)...)
	bad = append(bad, cloud.ValidateFirmware("firmware", n.Firmware)...)
	userField := "login_user"
	if n.Source == cloud.SourceUpload {
		userField = "user"
	}
	bad = append(bad, cloud.ValidateLoginUser(userField, n.User)...)
	if n.Source == cloud.SourceURL && n.URL == "" {
		bad = append(bad, cloud.FieldError{Field: "url", Message: "A URL is required; to send the bytes themselves, use Content-Type: application/octet-stream."})
	}
	if n.Firmware == "" {
		n.Firmware = cloud.FirmwareBIOS
	}
	return cloud.Invalid(bad)
}

func (s *server) addImage(w http.ResponseWriter, r *http.Request, c cloud.Caller, n cloud.NewImage, inQuery, inBody string) (cloud.Image, error) {
	var err error
	if n.TenantID, err = s.tenantFor(w, r, c, inQuery, inBody); err != nil {
		return cloud.Image{}, err
	}
	n.ID = s.NewID()
	return s.Images.CreateImage(r.Context(), c, s.Now(), n)
}

var imageList = listOf{params: []string{"label", "state"}, states: imageStates, item: reflect.TypeFor[wire.Image]()}

func (s *server) listImages(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	l, err := s.readList(r, c, imageList)
	if err != nil {
		return err
	}
	items, next, err := s.Images.Images(r.Context(), c, l.Filter, l.Page)
	if err != nil {
		return err
	}
	return replyListing(w, l, items, next, wireImage)
}

func (s *server) getImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindImage)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	img, err := s.Images.Image(r.Context(), c, id, "")
	if err != nil {
		return err
	}
	etag(w, img.Tag())
	return reply(w, http.StatusOK, wireImage(img))
}

func (s *server) updateImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindImage)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.UpdateImage
	nulls, err := decodePatch(w, r, &body, "labels")
	if err != nil {
		return err
	}
	bad := checkLabelChange(body.Labels)
	if body.Name != nil {
		bad = append(bad, cloud.ValidateImageName("name", *body.Name)...)
	}
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	img, err := s.Images.UpdateImage(r.Context(), c, s.Now(), id, cloud.ImageChange{
		LabelChange: cloud.LabelChange{Labels: body.Labels, NoLabels: len(nulls) > 0},
		Name:        body.Name, Public: body.Public, Default: body.Default, Protected: body.Protected,
	})
	if err != nil {
		return err
	}
	etag(w, img.Tag())
	return reply(w, http.StatusOK, wireImage(img))
}

func (s *server) deleteImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindImage)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if err := s.Images.DeleteImage(r.Context(), c, s.Now(), id); err != nil {
		return err
	}
	operationLocation(w, c)
	return noContent(w)
}
