package simulator

import (
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer starts a real Redis on a loopback port, or skips the test.
func redisServer(t *testing.T) (url string) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	server := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--logfile", filepath.Join(t.TempDir(), "log"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	for deadline := time.Now().Add(10 * time.Second); client.Ping(t.Context()).Err() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not answer")
		}
	}
	return "redis://" + address + "/0"
}

// TestReplicasShareQuota: two servers on one Redis are one deployment.
func TestReplicasShareQuota(t *testing.T) {
	url := redisServer(t)
	var replicas []*httptest.Server
	for range 2 {
		s, err := New(Options{Generator: newFake(), Redis: url, Quota: Quota{RequestsPerMinute: 5, TokensPerMinute: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		defer h.Close()
		replicas = append(replicas, h)
	}
	for i := range 5 {
		r := post(t, replicas[i%2], completionsPath, ask(completionsPath, ""))
		if want := string(rune('4' - i)); r.status != 200 || r.header.Get("x-ratelimit-remaining-requests") != want {
			t.Errorf("request %d: %d, %s left", i, r.status, r.header.Get("x-ratelimit-remaining-requests"))
		}
	}
	for _, h := range replicas {
		refused(t, post(t, h, completionsPath, ask(completionsPath, "")), 429, "")
	}
}

func TestRedisOptions(t *testing.T) {
	if _, err := New(Options{Generator: newFake(), Redis: "http://x"}); err == nil {
		t.Error("a Redis by HTTP")
	}
	s, err := New(Options{Generator: newFake(), Redis: "redis://127.0.0.1:1/0", Quota: DefaultQuota})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	refused(t, post(t, h, completionsPath, ask(completionsPath, "")), 503, "")
}
