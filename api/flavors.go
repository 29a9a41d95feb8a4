package api

import (
	"net/http"

	"github.com/gorilla/mux"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) createFlavor(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.CreateFlavor
	if err := decode(w, r, &body); err != nil {
		return err
	}
	bad := cloud.ValidateFlavorID("id", body.ID)
	bad = append(bad, cloud.ValidateVCPUs("vcpus", body.VCPUs)...)
	bad = append(bad, cloud.ValidateMemoryMiB("memory_mib", body.MemoryMiB)...)
	bad = append(bad, cloud.ValidateDiskGiB("disk_gib", body.DiskGiB)...)
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	f := cloud.Flavor{ID: body.ID, VCPUs: body.VCPUs, MemoryMiB: body.MemoryMiB, DiskGiB: body.DiskGiB, CreatedAt: s.Now()}
	if err := s.Flavors.CreateFlavor(r.Context(), c, f.CreatedAt, f); err != nil {
		return err
	}
	location(w, "/v1/flavors/"+f.ID)
	return reply(w, http.StatusCreated, wireFlavor(f))
}

func (s *server) listFlavors(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	items, err := s.Flavors.Flavors(r.Context())
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireFlavor)
}

// flavorID is the id in the path: text, unlike that of everything else.
func flavorID(r *http.Request) (string, error) {
	id := mux.Vars(r)["id"]
	if len(cloud.ValidateFlavorID("id", id)) > 0 {
		return "", notFound(cloud.KindFlavor, id)
	}
	return id, nil
}

func (s *server) getFlavor(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := flavorID(r)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	f, err := s.Flavors.Flavor(r.Context(), id)
	if err != nil {
		return err
	}
	etag(w, f.Tag())
	return reply(w, http.StatusOK, wireFlavor(f))
}

func (s *server) deleteFlavor(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := flavorID(r)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if err := s.Flavors.DeleteFlavor(r.Context(), c, s.Now(), id); err != nil {
		return err
	}
	return noContent(w)
}
