package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"time"
)

// httpOptions are those of a server; the zero value works.
type httpOptions struct {
	tls       *tls.Config   // nil: no TLS
	maxHeader int           // bytes; 0 is Go's
	grace     time.Duration // for requests in flight at the end; 0 is 5 s
	draining  func()        // is told of the end
	// log gets what goes wrong with connections; nil: nobody
	log *slog.Logger
	// connContext is that of the [http.Server].
	connContext func(context.Context, net.Conn) context.Context
}

// serveUntil serves until ctx ends, then lets requests in flight finish. HTTP/2
// is spoken beside HTTP/1.1, without TLS by clients that know it beforehand.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler, o httpOptions) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 3 * time.Minute, MaxHeaderBytes: o.maxHeader, TLSConfig: o.tls, Protocols: new(http.Protocols), ConnContext: o.connContext}
	if o.log != nil {
		server.ErrorLog = slog.NewLogLogger(o.log.Handler(), slog.LevelWarn)
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() {
		if o.tls != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if o.draining != nil {
		o.draining()
	}
	if o.grace == 0 {
		o.grace = 5 * time.Second
	}
	grace, cancel := context.WithTimeout(context.Background(), o.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// tls is the configuration that the flags ask for, or nil.
func (c *serverFlags) tls() (*tls.Config, error) {
	switch {
	case c.TLSSelfSigned && c.TLSCert+c.TLSKey != "":
		return nil, errors.New("--tls-self-signed makes a certificate; leave out --tls-cert and --tls-key")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return nil, errors.New("--tls-cert and --tls-key go together")
	case c.TLSSelfSigned:
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
		certificate, err := selfSigned(host)
		return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, err
	case c.TLSCert != "":
		certificate, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil
}

// selfSigned makes a certificate for this machine, and the host if it has a
// name, for a month.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "touchstone"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: []string{"localhost", "*.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
