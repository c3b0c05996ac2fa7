// Reads events of CloudEvents' JSON format, one a line, with the Go SDK, and writes each as the SDK does; then two events of
// its own, with bytes as data. For tests/contracts/test_cloudevents.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(event cloudevents.Event) {
	check(event.Validate())
	line, err := json.Marshal(event)
	check(err)
	fmt.Println(string(line))
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		event := cloudevents.NewEvent()
		check(json.Unmarshal(lines.Bytes(), &event))
		write(event)
	}
	check(lines.Err())
	for _, data := range []any{map[string]any{"a": 1}, []byte(`{"a":1}`)} {
		own := cloudevents.NewEvent()
		own.SetID("own")
		own.SetSource("/shop/orders?a=b")
		own.SetType("OrderPlaced")
		own.SetExtension("dataversion", 2)
		own.SetExtension("depth", "3")
		check(own.SetData(cloudevents.ApplicationJSON, data))
		write(own)
	}
}
