package timetable

import (
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

func read(t *testing.T, start, stop, zone string) Times {
	t.Helper()
	times, err := Read(cloud.Schedule{Start: start, Stop: stop, Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	return times
}

func at(text string) time.Time {
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return v.UTC()
}

// In Berlin the clock goes from 02:00 to 03:00 on 2026-03-29, and from 03:00 back
// to 02:00 on 2026-10-25.
func TestEachTimeComesOnceAroundTheChangesOfTheClock(t *testing.T) {
	for name, c := range map[string]struct {
		cron, from string
		want       []string
	}{
		"skipped":           {"30 2 * * *", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"at the jump":       {"0 3 * * *", "2026-03-28T03:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
		"doubled":           {"30 2 * * *", "2026-10-24T00:00:00Z", []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"behind the double": {"0 3 * * *", "2026-10-24T02:00:00Z", []string{"2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"}},
		"before it":         {"30 1 * * *", "2026-10-24T00:00:00Z", []string{"2026-10-24T23:30:00Z", "2026-10-26T00:30:00Z"}},
		"every half hour":   {"*/30 * * * *", "2026-10-24T23:59:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"}},
		"in the gap twice":  {"15,45 2 * * *", "2026-03-29T00:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			times := read(t, c.cron, "0 0 1 1 *", "Europe/Berlin")
			from := at(c.from)
			for _, want := range c.want {
				got, do := times.Next(from)
				if !got.Equal(at(want)) || do != cloud.ScheduleStart {
					t.Fatalf("after %v: %v %s, want %s", from, got, do, want)
				}
				from = got
			}
		})
	}
}

// From wherever one looks, the same time comes next: none twice and none never.
func TestTheNextTimeIsTheSameFromEverySecondBefore(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"} {
		times := read(t, "*/20 * * * *", "0 0 1 1 *", zone)
		for _, begin := range []string{"2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z", "2026-03-08T00:00:00Z", "2026-11-01T00:00:00Z", "2026-04-04T10:00:00Z", "2026-10-03T10:00:00Z"} {
			from := at(begin)
			next, _ := times.Next(from)
			for n := 0; n < 24*60; n++ {
				if from = from.Add(time.Minute); !from.Before(next) {
					next, _ = times.Next(from)
				}
				if again, _ := times.Next(from); !again.Equal(next) || !again.After(from) {
					t.Fatalf("%s: after %v comes %v, and before it was %v", zone, from, again, next)
				}
			}
		}
	}
}

func TestOnlyTheLastOfMissedTimesCounts(t *testing.T) {
	times := read(t, "0 7 * * 1-5", "0 20 * * 1-5", "Europe/Berlin")
	for now, want := range map[string]struct {
		at string
		do cloud.ScheduleDo
	}{
		"2026-11-23T06:30:00Z": {"2026-11-23T06:00:00Z", cloud.ScheduleStart}, // Monday
		"2026-11-22T12:00:00Z": {"2026-11-20T19:00:00Z", cloud.ScheduleStop},  // Sunday
	} {
		got, do := times.Latest(at("2026-01-01T00:00:00Z"), at(now))
		if !got.Equal(at(want.at)) || do != want.do {
			t.Errorf("at %s: %v %s", now, got, do)
		}
	}
	if got, _ := times.Latest(at("2026-11-20T19:00:00Z"), at("2026-11-22T12:00:00Z")); !got.IsZero() {
		t.Errorf("nothing was missed, and %v came", got)
	}
	rare := read(t, "0 0 29 2 *", "0 12 29 2 *", "UTC")
	if got, do := rare.Latest(at("2024-01-01T00:00:00Z"), at("2026-11-22T12:00:00Z")); !got.Equal(at("2024-02-29T12:00:00Z")) || do != cloud.ScheduleStop {
		t.Errorf("long ago: %v %s", got, do)
	}
	both := read(t, "0 0 * * *", "0 0,12 * * *", "UTC")
	if _, do := both.Next(at("2026-01-01T00:00:00Z")); do != cloud.ScheduleStop {
		t.Errorf("both at once: %s", do)
	}
}

func TestBadTimesAreRefused(t *testing.T) {
	good := cloud.Schedule{Start: "0 7 * * *", Stop: "0 20 * * *", Zone: "Europe/Berlin"}
	for _, bad := range []func(*cloud.Schedule){
		func(s *cloud.Schedule) { s.Start = "" },
		func(s *cloud.Schedule) { s.Start = "@daily" },
		func(s *cloud.Schedule) { s.Start = "TZ=UTC 0 7 * * *" },
		func(s *cloud.Schedule) { s.Start = "CRON_TZ=UTC 7 * * *" },
		func(s *cloud.Schedule) { s.Start = "0 0 7 * * *" },
		func(s *cloud.Schedule) { s.Stop = "60 7 * * *" },
		func(s *cloud.Schedule) { s.Stop = "0 0 31 2 *" },
		func(s *cloud.Schedule) { s.Zone = "" },
		func(s *cloud.Schedule) { s.Zone = "Local" },
		func(s *cloud.Schedule) { s.Zone = "../etc/passwd" },
		func(s *cloud.Schedule) { s.Zone = "Europe/Nowhere" },
		func(s *cloud.Schedule) { s.Zone = "posixrules" },
		func(s *cloud.Schedule) { s.Zone = "Factory" },
		func(s *cloud.Schedule) { s.Zone = "right/Europe/Berlin" },
		func(s *cloud.Schedule) { s.Zone = "posix/UTC" },
		func(s *cloud.Schedule) { s.Zone = "localtime" },
		func(s *cloud.Schedule) { s.Start = "0 7 * * 7" },
		func(s *cloud.Schedule) { s.Start = "0 7 * * 1,,4" },
		func(s *cloud.Schedule) { s.Start = "0 7 * * ,4" },
		func(s *cloud.Schedule) { s.Start = "*/90 7 * * *" },
		func(s *cloud.Schedule) { s.Start = "0 */24 * * *" },
		func(s *cloud.Schedule) { s.Start = "0 7 * * *"; s.Stop = "00 07 * * *" },
	} {
		s := good
		bad(&s)
		if _, err := Read(s); cloud.CodeOf(err) != cloud.CodeInvalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestZonesAndStepsThatPeopleWrite(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince", "EST5EDT", "W-SU", "GB-Eire", "Zulu"} {
		read(t, "*/59 */23 */2 */11 */6", "0 0,12 1-5/2 * *", zone)
	}
	_, err := Read(cloud.Schedule{Start: "0 7 * * 7", Stop: "0 8 * * *", Zone: "UTC"})
	if !strings.Contains(cloud.MessageOf(err), "Sunday is 0") {
		t.Errorf("%v", err)
	}
}
