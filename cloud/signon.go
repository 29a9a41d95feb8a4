package cloud

import "time"

// SignOn is a login at an identity provider that has begun. Who began it keeps
// it to itself.
type SignOn struct {
	Login     string        // what ends it; says nothing to anybody but lodge
	State     string        // what the redirect must bring back; "" without one
	URL       string        // that the person opens
	WholeURL  string        // the same with UserCode in it; "" for none
	UserCode  string        // that the person types there; "" where a redirect comes back
	Interval  time.Duration // between two looks; 0 where a redirect comes back
	ExpiresAt time.Time
}

// SignIn is somebody who has shown at an identity provider who it is. Issuer and
// Subject together say who; Name and Email are a suggestion for a new user.
type SignIn struct {
	Issuer, Subject string
	Name, Email     string
	Create          bool   // make a user of somebody who is none yet
	UserID          string // of the user that is made then

	Login     string    // is good once
	LoginEnds time.Time // until when that must be remembered
}
