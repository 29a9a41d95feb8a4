package traces

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// target is the URL that spans are sent to. The variable for traces alone is
// taken as it is, as OpenTelemetry has it; all others get its path.
func target(endpoint string) (string, error) {
	whole := ""
	if endpoint == "" {
		whole, endpoint = os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	given := endpoint
	if whole != "" {
		given = whole
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("the endpoint of traces is no URL like http://127.0.0.1:4318")
	}
	if whole == "" && !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}
