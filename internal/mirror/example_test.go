package mirror_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"millpond/internal/mirror"
)

// A download continues where it ended. A mirror at a private address must be
// allowed, and all received bytes are metered.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	}))
	defer server.Close()
	policy, err := mirror.ParsePolicy([]string{strings.TrimPrefix(server.URL, "http://")})
	if err != nil {
		panic(err)
	}
	taken := int64(0)
	client := mirror.New(mirror.Options{Policy: policy, Meter: func(_ mirror.File, _ mirror.Answer, n int64) { taken += n }})
	defer client.Close()

	resp, err := client.Get(context.Background(), mirror.Request{URL: server.URL + "/pool/a.deb", Offset: 4})
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	rest, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, resp.Offset, resp.Size, string(rest), err, taken)
	// Output: 206 4 10 456789 <nil> 6
}
