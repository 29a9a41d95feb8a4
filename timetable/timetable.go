package timetable

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a host may have no zones

	"github.com/robfig/cron/v3"

	"lodge/cloud"
)

var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Times are the times of a schedule, read.
type Times struct {
	start, stop cron.Schedule
	zone        *time.Location
}

// Read reads the times of a schedule. Returns CodeInvalid.
func Read(s cloud.Schedule) (t Times, err error) {
	var bad []cloud.FieldError
	say := func(field, message string) { bad = append(bad, cloud.FieldError{Field: field, Message: message}) }
	for _, f := range []struct {
		field, text string
		to          *cron.Schedule
	}{{"start", s.Start, &t.start}, {"stop", s.Stop, &t.stop}} {
		var why string
		if *f.to, why = times(f.text); why != "" {
			say(f.field, why)
		}
	}
	if len(bad) == 0 && same(t.start, t.stop) {
		say("stop", "It starts and stops at the same times, so it would never be started; choose another time for one of them.")
	}
	if !zoneName.MatchString(s.Zone) || s.Zone == "Local" || s.Zone == "Factory" {
		say("time_zone", "A time zone is a name such as \"Europe/Berlin\" or \"UTC\".")
	} else if t.zone, err = time.LoadLocation(s.Zone); err != nil {
		say("time_zone", "There is no such time zone; give a name such as \"Europe/Berlin\" or \"UTC\".")
	}
	return t, cloud.Invalid(bad)
}

// times reads the five fields of a time; why is a sentence about what is wrong.
func times(text string) (at cron.Schedule, why string) {
	if len(text) > 200 || strings.Contains(text, "=") || len(strings.Fields(text)) != 5 {
		return nil, "A time is five fields of cron: minute, hour, day of the month, month and day of the week, as \"0 8 * * 1-5\"."
	}
	if why := odd(text); why != "" {
		return nil, why
	}
	at, err := parser.Parse(text)
	switch {
	case err != nil:
		return nil, "The five fields of cron cannot be read; they are minute, hour, day of the month, month and day of the week, as \"0 8 * * 1-5\"; Sunday is 0, and there is no 7."
	case at.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero():
		return nil, "This time never comes."
	}
	return at, ""
}

// Every reads five fields of cron in UTC: the function gives the next time after an
// instant.
func Every(text string) (func(after time.Time) time.Time, error) {
	at, why := times(text)
	if why != "" {
		return nil, errors.New(why)
	}
	return func(after time.Time) time.Time { return at.Next(after.UTC()) }, nil
}

// zoneName is the name of a zone: those of people begin with a capital. A host has
// files beside them that are none, such as posixrules and right/.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*$`)

// widest are the greatest steps of the fields of cron that say anything.
var widest = [5]int{59, 23, 30, 11, 6}

// odd says what is wrong with a time that the library would read as another one:
// it leaves out empty parts of a list, and takes a step beyond the end for none.
func odd(text string) string {
	for i, field := range strings.Fields(text) {
		for _, part := range strings.Split(field, ",") {
			if part == "" {
				return fmt.Sprintf("The list %q has an empty part.", field)
			}
			_, step, stepped := strings.Cut(part, "/")
			if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > widest[i]) {
				return fmt.Sprintf("The step of %q is 1 to %d in this field.", part, widest[i])
			}
		}
	}
	return ""
}

// same reports whether two schedules come at the same times.
func same(a, b cron.Schedule) bool {
	x, isX := a.(*cron.SpecSchedule)
	y, isY := b.(*cron.SpecSchedule)
	return isX && isY && *x == *y
}

// Next is the first time after an instant and what it says. When both come
// together, the stop counts.
func (t Times) Next(after time.Time) (time.Time, cloud.ScheduleDo) {
	start, stop := t.next(t.start, after), t.next(t.stop, after)
	if start.IsZero() || (!stop.IsZero() && !start.Before(stop)) {
		return stop, cloud.ScheduleStop
	}
	return start, cloud.ScheduleStart
}

// Latest is the last time in (after, now] and what it says; zero for none. What
// was before it does not matter any more.
func (t Times) Latest(after, now time.Time) (at time.Time, do cloud.ScheduleDo) {
	// Nearly always there is one in the last days, and a long absence need not be
	// gone through minute by minute.
	if recent := now.Add(-8 * 24 * time.Hour); recent.After(after) {
		if at, do = t.Latest(recent, now); !at.IsZero() {
			return at, do
		}
	}
	for next, what := t.Next(after); !next.IsZero() && !next.After(now); next, what = t.Next(next) {
		at, do = next, what
	}
	return at, do
}

// next is the first time of one of them after an instant.
func (t Times) next(times cron.Schedule, after time.Time) time.Time {
	wall := onWall(after, t.zone)
	for {
		// The library goes along a clock that never jumps.
		if wall = times.Next(wall); wall.IsZero() {
			return wall
		}
		if at := instant(wall, t.zone); at.After(after) {
			return at
		}
	}
}

// onWall is what the clock on the wall shows, as if that were UTC.
func onWall(at time.Time, zone *time.Location) time.Time {
	_, offset := at.In(zone).Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is when the clock on the wall shows a time first; when it skips it, when
// it jumps. It never goes back: a later time on the wall is no earlier instant.
func instant(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	from, to := at.ZoneBounds()
	switch shown := onWall(at, zone); {
	case shown.After(wall):
		return from.UTC() // skipped, and at is behind the jump
	case shown.Before(wall):
		return to.UTC() // skipped, and at is before it
	}
	if from.IsZero() {
		return at.UTC()
	}
	_, before := from.Add(-time.Second).Zone()
	if earlier := wall.Add(-time.Duration(before) * time.Second); earlier.Before(from) {
		return earlier // shown twice, or at is within the zone before
	}
	return at.UTC()
}
