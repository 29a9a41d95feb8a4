package wire

// SignOnProvider is where people log in who have no password here.
type SignOnProvider struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"` // what lodge is called there
}

// StartSignOn begins a login at the identity provider: with a page that the
// browser comes back to, or on a machine without a browser.
type StartSignOn struct {
	RedirectURI string `json:"redirect_uri,omitempty"`
	Device      bool   `json:"device,omitempty"`
}

// SignOn is a login that has begun. Whoever began it keeps it to itself.
type SignOn struct {
	Login           string `json:"login"`                      // for FinishSignOn
	State           string `json:"state,omitempty"`            // what the redirect must bring back
	URL             string `json:"url,omitempty"`              // that the person opens
	WholeURL        string `json:"whole_url,omitempty"`        // the same with the user code in it
	UserCode        string `json:"user_code,omitempty"`        // that the person types there
	IntervalSeconds int    `json:"interval_seconds,omitempty"` // between two looks
	ExpiresAt       Time   `json:"expires_at"`
}

// FinishSignOn ends a login. A device has the first field only.
type FinishSignOn struct {
	Login string `json:"login"`
	State string `json:"state,omitempty"`
	Code  string `json:"code,omitempty"`
}

// LinkUser says who a user is at an identity provider.
type LinkUser struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}
