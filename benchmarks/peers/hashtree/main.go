// The peer hashtree, driven over standard input: for each line with a count of nodes, it hashes that many 64-byte
// messages once and prints the nanoseconds a node took, and the SHA-256 of all digests together.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/prysmaticlabs/gohashtree"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		nodes, err := strconv.Atoi(lines.Text())
		if err != nil || nodes < 1 {
			fmt.Fprintln(os.Stderr, "expected a count of nodes")
			os.Exit(2)
		}
		messages := make([]byte, 64*nodes)
		for i := range messages {
			messages[i] = byte(i * 7)
		}
		digests := make([]byte, 32*nodes)
		started := time.Now()
		if err := gohashtree.HashByteSlice(digests, messages); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		elapsed := float64(time.Since(started).Nanoseconds()) / float64(nodes)
		fmt.Printf("%.3f %x\n", elapsed, sha256.Sum256(digests))
	}
}
