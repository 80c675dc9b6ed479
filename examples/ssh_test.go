package examples

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"testing"

	"github.com/clonerand/rand"
	"golang.org/x/crypto/ssh"
)

// ssh.Config has a Rand, for clients and servers: cookies, key exchange, signatures,
// padding. Which of them draw from it depends on the algorithm: curve25519 does, the
// ML-KEM half of mlkem768x25519 takes no reader.
func Example_ssh() {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	host, _ := ssh.NewSignerFromKey(key)
	exchange := ssh.Config{Rand: rand.Reader, KeyExchanges: []string{ssh.KeyExchangeCurve25519}}
	server := &ssh.ServerConfig{Config: exchange, NoClientAuth: true}
	server.AddHostKey(host)
	client := &ssh.ClientConfig{Config: exchange, User: "user", HostKeyCallback: ssh.FixedHostKey(host.PublicKey())}

	fmt.Println(shakeHands(client, server))
	// Output: <nil>
}

func TestSSHDrawsFromTheReader(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	host, _ := ssh.NewSignerFromKey(key)
	ofServer := new(counter)
	mustDraw(t, 16+32, func(ofClient *counter) { // at least the cookie and the key of the exchange
		curve := []string{ssh.KeyExchangeCurve25519}
		server := &ssh.ServerConfig{Config: ssh.Config{Rand: ofServer, KeyExchanges: curve}, NoClientAuth: true}
		server.AddHostKey(host)
		client := &ssh.ClientConfig{
			Config: ssh.Config{Rand: ofClient, KeyExchanges: curve}, User: "user", HostKeyCallback: ssh.FixedHostKey(host.PublicKey()),
		}
		if err := shakeHands(client, server); err != nil {
			t.Error(err)
		}
	})
	if ofServer.drawn < 16+32 {
		t.Errorf("the server drew %d bytes", ofServer.drawn)
	}
}

// shakeHands connects the two, in this process.
func shakeHands(client *ssh.ClientConfig, server *ssh.ServerConfig) error {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			_, _, _, err = ssh.NewServerConn(conn, server)
		}
		served <- err
	}()
	conn, err := ssh.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	return <-served
}
