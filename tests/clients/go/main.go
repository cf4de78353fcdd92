// Go's net/http as a client: HTTP/1.1, HTTP/2 over TLS, and HTTP/2 in the clear. It is told of the proxy in WORLD.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

type world struct{ Clear, TLS, Key, CA string }

// check ends the program at the first thing that is not as it should be.
func check(good bool, format string, arguments ...any) {
	if !good {
		log.Fatalf(format, arguments...)
	}
}

type client struct {
	*http.Client
	name, base, key string
	protocol        int
}

func (c client) send(method, path string, body io.Reader) *http.Response {
	request, err := http.NewRequest(method, c.base+path, body)
	check(err == nil, "%v", err)
	request.Header.Set("x-api-key", c.key)
	answer, err := c.Do(request)
	check(err == nil, "%s %s %s: %v", c.name, method, path, err)
	check(answer.ProtoMajor == c.protocol, "%s spoke %s", c.name, answer.Proto)
	return answer
}

func (c client) whole(method, path string, body io.Reader) (int, string) {
	answer := c.send(method, path, body)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(err == nil, "%s %s: %v", c.name, path, err)
	return answer.StatusCode, string(text)
}

func (c client) run() {
	large := bytes.Repeat([]byte("0123456789"), 300_000)
	for _, upstream := range []string{"node", "node2"} {
		status, text := c.whole("PUT", "/"+upstream+"/q1/echo", bytes.NewReader(large))
		check(status == 200 && text == string(large), "%s: %s gave %d and %d bytes", c.name, upstream, status, len(text))
	}
	for _, upstream := range []string{"node", "node2", "nginx", "nginx2", "nginxs"} {
		// Of unknown length, and as it comes.
		reader, writer := io.Pipe()
		go func() {
			for piece := 0; piece < 30; piece++ {
				fmt.Fprint(writer, strings.Repeat("y", 10_000))
			}
			writer.Close()
		}()
		_, text := c.whole("POST", "/"+upstream+"/q1/sum", reader)
		check(strings.Contains(text, `"bytes":300000`), "%s: %s", c.name, text)
	}
	status, text := c.whole("GET", "/node/q2/ok", nil)
	check(status == 403 && strings.Contains(text, "not_permitted"), "%s: %d %s", c.name, status, text)
	status, _ = c.whole("GET", "/node/q1/nothing", nil)
	check(status == 204, "%s: %d", c.name, status)
	answer := c.send("HEAD", "/node/q1/bytes?size=99", nil)
	check(answer.ContentLength == 99, "%s: HEAD says %d", c.name, answer.ContentLength)

	var group sync.WaitGroup
	for number := 0; number < 50; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			own := strings.Repeat(fmt.Sprint(number), 5_000)
			status, text := c.whole("POST", "/node2/q1/echo", strings.NewReader(own))
			check(status == 200 && text == own, "%s: another's answer", c.name)
		}(number)
	}
	group.Wait()

	// A connection that rests is used again.
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	context, cancel := context.WithTimeout(httptrace.WithClientTrace(context.Background(), trace), 10*time.Second)
	defer cancel()
	request, _ := http.NewRequestWithContext(context, "GET", c.base+"/node/q1/ok", nil)
	request.Header.Set("x-api-key", c.key)
	again, err := c.Do(request)
	check(err == nil && reused, "%s: %v, used again: %v", c.name, err, reused)
	again.Body.Close()

	if c.protocol == 2 {
		answer := c.send("GET", "/node2/q1/trailers", nil)
		_, _ = io.ReadAll(answer.Body)
		check(answer.Trailer.Get("x-checksum") == "abc", "%s: the trailers are %v", c.name, answer.Trailer)
	}
}

func main() {
	var told world
	check(json.Unmarshal([]byte(os.Getenv("WORLD")), &told) == nil, "WORLD is not set")
	authority, err := os.ReadFile(told.CA)
	check(err == nil, "%v", err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	secure := &tls.Config{RootCAs: roots}
	clear := &http2.Transport{AllowHTTP: true, DialTLSContext: func(
		ctx context.Context, network, address string, _ *tls.Config,
	) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	for _, c := range []client{
		{&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Second}}, "HTTP/1.1", told.Clear, told.Key, 1},
		{&http.Client{Transport: clear}, "h2c", told.Clear, told.Key, 2},
		{&http.Client{Transport: &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}}, "h2", told.TLS, told.Key, 2},
	} {
		c.run()
	}
}
