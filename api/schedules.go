package api

import (
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
	"lodge/timetable"
)

func (s *server) listSchedules(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	tenantID, err := s.ofTenant(r, c)
	if err != nil {
		return err
	}
	items, err := s.Schedules.Schedules(r.Context(), c, tenantID)
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireSchedule)
}

func (s *server) getSchedule(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindSchedule)
	if err != nil {
		return err
	}
	sc, err := s.Schedules.Schedule(r.Context(), c, id)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	out := wireSchedule(sc)
	out.Status = &wire.ScheduleStatus{At: wireTime(now)}
	if times, err := timetable.Read(sc); err == nil && sc.Enabled {
		at, do := times.Next(now)
		out.Status.Next, out.Status.NextAt = string(do), wireTime(at)
	}
	rests, err := s.Schedules.Rests(r.Context(), id, cloud.Month(now))
	if err != nil {
		return err
	}
	b, err := s.book(r.Context(), c, sc.TenantID)
	if err != nil {
		return err
	}
	var ran []cloud.Interval
	if len(rests) > 0 {
		if ran, err = s.Usage.UsageIntervals(r.Context(), c, cloud.UsageFilter{TenantID: sc.TenantID, From: cloud.Month(now), To: now}); err != nil {
			return err
		}
	}
	saved := meter.Saved(rests, ran, b.prices, b.discounts, now)
	out.Status.Saving = wire.ScheduleSaving{Currency: b.currency.Code, From: wireTime(cloud.Month(now)), Cost: saved.Cost.String(), Note: note(b.currency, saved)}
	etag(w, sc.Tag())
	return reply(w, http.StatusOK, out)
}

func (s *server) createSchedule(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	var body wire.CreateSchedule
	if err := decode(w, r, &body); err != nil {
		return err
	}
	sc := cloud.Schedule{ID: s.NewID(), Name: body.Name, Selector: body.Label, Start: body.Start, Stop: body.Stop, Zone: body.TimeZone, Enabled: body.Enabled == nil || *body.Enabled}
	if sc.Zone == "" {
		sc.Zone = "UTC"
	}
	var err error
	if sc.TenantID, err = s.makesIn(w, r, c, body.Tenant); err != nil {
		return err
	}
	if err := checkTimes(sc); err != nil {
		return err
	}
	if sc, err = s.Schedules.CreateSchedule(r.Context(), c, s.Now(), sc); err != nil {
		return err
	}
	location(w, "/v1/schedules/"+sc.ID)
	return reply(w, http.StatusCreated, wireSchedule(sc))
}

func checkTimes(sc cloud.Schedule) error {
	_, err := timetable.Read(sc)
	return err
}

func (s *server) updateSchedule(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindSchedule)
	if err != nil {
		return err
	}
	var body wire.UpdateSchedule
	if _, err := decodePatch(w, r, &body); err != nil {
		return err
	}
	ch := cloud.ScheduleChange{Name: body.Name, Selector: body.Label, Start: body.Start, Stop: body.Stop, Zone: body.TimeZone, Enabled: body.Enabled}
	sc, err := s.Schedules.UpdateSchedule(r.Context(), c, s.Now(), id, ch, checkTimes)
	if err != nil {
		return err
	}
	etag(w, sc.Tag())
	return reply(w, http.StatusOK, wireSchedule(sc))
}

func (s *server) deleteSchedule(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindSchedule)
	if err != nil {
		return err
	}
	sc, left, err := s.Schedules.DeleteSchedule(r.Context(), c, s.Now(), id)
	switch {
	case err != nil:
		return err
	case left: // as of a budget
		etag(w, sc.Tag())
		return reply(w, http.StatusAccepted, wireSchedule(sc))
	}
	return noContent(w)
}

func wireSchedule(sc cloud.Schedule) wire.Schedule {
	return wire.Schedule{
		ID: sc.ID, TenantID: sc.TenantID, Name: sc.Name, Label: sc.Selector, Start: sc.Start, Stop: sc.Stop, TimeZone: sc.Zone, Enabled: sc.Enabled,
		Last: string(sc.Applied), LastAt: wireTime(sc.AppliedAt), CreatedAt: wireTime(sc.CreatedAt), UpdatedAt: wireTime(sc.UpdatedAt), DeletedAt: wireTime(sc.DeletedAt),
		Revision: sc.Revision, Holds: sc.Holds,
	}
}
