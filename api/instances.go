package api

import (
	"net/http"
	"reflect"

	"lodge/api/wire"
	"lodge/cloud"
)

var instanceStates = []string{
	string(cloud.StateRequested), string(cloud.StateBuilding), string(cloud.StateRunning), string(cloud.StatePaused),
	string(cloud.StateStopped), string(cloud.StateSleeping), string(cloud.StateError), string(cloud.StateGone),
}

// instanceList is what the list of instances can be asked for.
var instanceList = listOf{
	params: []string{"label", "state", "image", "flavor", "host", "cost"}, states: instanceStates, item: reflect.TypeFor[wire.Instance](),
}

// instanceID is the id in the path. What is no id is an instance nobody has.
func (s *server) instanceID(r *http.Request) (string, error) {
	return pathID(r, cloud.KindInstance)
}

func (s *server) getInstance(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := s.instanceID(r)
	if err != nil {
		return err
	}
	q := parseQuery(r, "tenant", "cost")
	costs := q.flag("cost")
	if q.err != nil {
		return q.err
	}
	if s.Refs != nil && !costs {
		ref, err := s.Refs.InstanceRef(r.Context(), c, id)
		if err != nil {
			return err
		}
		if b := s.instances.get(ref.ID, ref.Revision); b != nil {
			etag(w, ref.Tag())
			write(w, http.StatusOK, typeJSON, b)
			return nil
		}
	}
	in, err := s.Instances.Instance(r.Context(), c, id)
	if err != nil {
		return err
	}
	if costs {
		return s.replyWithCost(w, r, c, in)
	}
	return s.replyInstance(w, http.StatusOK, in)
}

func (s *server) replyInstance(w http.ResponseWriter, status int, in cloud.Instance) error {
	b, err := s.instances.render(in)
	if err != nil {
		return err
	}
	about(w, in.TenantID)
	etag(w, in.Tag())
	write(w, status, typeJSON, b)
	if in.State == cloud.StateGone {
		s.instances.drop(in.ID)
	}
	return nil
}

func (s *server) listInstances(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	l, err := s.readList(r, c, instanceList)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*listBuffer)
	defer buf.release()
	var next string
	if s.Refs != nil {
		next, err = s.listByRefs(r, buf, c, l.Filter, l.Page)
	} else {
		next, err = s.listWhole(r, buf, c, l.Filter, l.Page)
	}
	if err == nil {
		err = s.addCosts(r, c, buf.parts, l.fields)
	}
	if err != nil {
		return err
	}
	write(w, http.StatusOK, typeJSON, buf.list(next, l.fields))
	return nil
}

func (s *server) listWhole(r *http.Request, buf *listBuffer, c cloud.Caller, f cloud.Filter, p cloud.Page) (string, error) {
	items, next, err := s.Instances.Instances(r.Context(), c, f, p)
	if err != nil {
		return "", err
	}
	for _, in := range items {
		b, err := s.instances.render(in)
		if err != nil {
			return "", err
		}
		buf.parts = append(buf.parts, b)
	}
	return next, nil
}

// listByRefs asks for ids and revisions, and only for those instances whole
// whose JSON is not kept. One that is gone in between is left out.
func (s *server) listByRefs(r *http.Request, buf *listBuffer, c cloud.Caller, f cloud.Filter, p cloud.Page) (string, error) {
	refs, next, err := s.Refs.InstanceRefs(r.Context(), c, f, p)
	if err != nil {
		return "", err
	}
	for range refs {
		buf.parts = append(buf.parts, nil)
	}
	missing := s.instances.fill(buf.parts, refs)
	if missing == 0 {
		return next, nil
	}
	ids, at := make([]string, 0, missing), make(map[string]int, missing)
	for i, b := range buf.parts {
		if b == nil {
			ids = append(ids, refs[i].ID)
			at[refs[i].ID] = i
		}
	}
	items, err := s.Refs.InstancesByID(r.Context(), c, ids)
	if err != nil {
		return "", err
	}
	for _, in := range items {
		i, asked := at[in.ID]
		if !asked {
			continue
		}
		if buf.parts[i], err = s.instances.render(in); err != nil {
			return "", err
		}
	}
	return next, nil
}

func (s *server) createInstance(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return q.err
	}
	var body wire.CreateInstance
	if err := decode(w, r, &body); err != nil {
		return err
	}
	c, err := s.inBody(r, c, cloud.RoleMember, body.Tenant)
	if err != nil {
		return err
	}
	n, err := newInstance(body)
	if err != nil {
		return err
	}
	if n.TenantID, err = s.tenantFor(w, r, c, q.Get("tenant"), body.Tenant); err != nil {
		return err
	}
	n.ID, n.VolumeID, n.PortID = s.NewID(), s.NewID(), s.NewID()
	in, err := s.Instances.CreateInstance(r.Context(), c, s.Now(), n)
	if err != nil {
		return err
	}
	location(w, "/v1/instances/"+in.ID)
	operationLocation(w, c)
	return s.replyInstance(w, http.StatusAccepted, in)
}

func (s *server) updateInstance(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := s.instanceID(r)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.UpdateInstance
	nulls, err := decodePatch(w, r, &body, "labels")
	if err != nil {
		return err
	}
	ch, err := instanceChange(body)
	if err != nil {
		return err
	}
	ch.NoLabels = len(nulls) > 0
	in, err := s.Instances.UpdateInstance(r.Context(), c, s.Now(), id, ch)
	if err != nil {
		return err
	}
	operationLocation(w, c)
	return s.replyInstance(w, http.StatusOK, in)
}

func (s *server) deleteInstance(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := s.instanceID(r)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	in, err := s.Instances.DeleteInstance(r.Context(), c, s.Now(), id)
	if err != nil {
		return err
	}
	operationLocation(w, c)
	return s.replyInstance(w, http.StatusAccepted, in)
}

func (s *server) power(p cloud.PowerChange) handler {
	return func(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
		id, err := s.instanceID(r)
		if err != nil {
			return err
		}
		if q := parseQuery(r, "tenant"); q.err != nil {
			return q.err
		}
		var body wire.PowerRequest
		if err := decodeOptional(w, r, &body); err != nil {
			return err
		}
		if p == cloud.PowerStart && body.Force {
			return invalid("force", "A start cannot be forced.")
		}
		in, err := s.Powers.PowerInstance(r.Context(), c, s.Now(), id, p, body.Force)
		if err != nil {
			return err
		}
		operationLocation(w, c)
		return s.replyInstance(w, http.StatusAccepted, in)
	}
}

// The length of a piece of console log.
const (
	defaultTail = 64 << 10
	maxTail     = 1 << 20
)

func (s *server) consoleLog(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := s.instanceID(r)
	if err != nil {
		return err
	}
	q := parseQuery(r, "tail_bytes", "tenant")
	tail := q.integer("tail_bytes", defaultTail, 1, maxTail)
	if q.err != nil {
		return q.err
	}
	// The store knows whose it is; the console does not.
	if _, err := s.Instances.Instance(r.Context(), c, id); err != nil {
		return err
	}
	rise(w) // a host that hangs shall hold nothing up but this
	b, err := s.Console.ConsoleLog(r.Context(), id, int(tail))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, typeText, b)
	return nil
}
