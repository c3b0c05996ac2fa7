// Peers: go-nsq doing what the bus does, measured in the same run.
//
//	peers consume ADDRESS TOPIC CHANNEL COUNT raw|strings|typed
//	peers publish ADDRESS TOPIC GOROUTINES COUNT BYTES
//	peers publish-encoded ADDRESS TOPIC GOROUTINES COUNT BATCH
//
// All print events a second. "strings" decodes msgpack into structs; "typed" also parses the UUID, the decimals and the time.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nsqio/go-nsq"
	"github.com/shopspring/decimal"
	"github.com/vmihailenco/msgpack/v5"
)

type line struct {
	Sku      string `msgpack:"sku"`
	Quantity int    `msgpack:"quantity"`
	Price    string `msgpack:"price"`
}

type order struct {
	OrderID    string  `msgpack:"order_id"`
	CustomerID string  `msgpack:"customer_id"`
	Email      string  `msgpack:"email"`
	Currency   string  `msgpack:"currency"`
	PlacedAt   string  `msgpack:"placed_at"`
	Total      string  `msgpack:"total"`
	Note       *string `msgpack:"note"`
	Lines      []line  `msgpack:"lines"`
}

type envelope struct {
	SpecVersion   string `msgpack:"specversion"`
	ID            string `msgpack:"id"`
	Source        string `msgpack:"source"`
	Type          string `msgpack:"type"`
	Time          string `msgpack:"time"`
	ContentType   string `msgpack:"datacontenttype"`
	DataVersion   int    `msgpack:"dataversion"`
	CorrelationID string `msgpack:"correlationid"`
	CausationID   string `msgpack:"causationid"`
	TraceParent   string `msgpack:"traceparent"`
	Depth         int    `msgpack:"depth"`
	ReceiptTo     string `msgpack:"receiptto,omitempty"`
	Data          order  `msgpack:"data"`
}

func decode(body []byte, typed bool) error {
	var e envelope
	if err := msgpack.Unmarshal(body, &e); err != nil || !typed {
		return err
	}
	if _, err := uuid.Parse(e.Data.OrderID); err != nil {
		return err
	}
	if _, err := time.Parse(time.RFC3339, e.Data.PlacedAt); err != nil {
		return err
	}
	if _, err := decimal.NewFromString(e.Data.Total); err != nil {
		return err
	}
	for _, l := range e.Data.Lines {
		if _, err := decimal.NewFromString(l.Price); err != nil {
			return err
		}
	}
	return nil
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func consume(address, topic, channel string, count int64, mode string) {
	config := nsq.NewConfig()
	config.MaxInFlight = 2500
	consumer, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		log.Fatal(err)
	}
	consumer.SetLogger(log.New(os.Stderr, "", 0), nsq.LogLevelError)
	var seen int64
	done := make(chan struct{})
	handler := nsq.HandlerFunc(func(message *nsq.Message) error {
		if mode != "raw" {
			if err := decode(message.Body, mode == "typed"); err != nil {
				log.Fatal(err)
			}
		}
		if atomic.AddInt64(&seen, 1) == count {
			close(done)
		}
		return nil
	})
	consumer.AddConcurrentHandlers(handler, 64)
	began := time.Now()
	if err := consumer.ConnectToNSQD(address); err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Printf("%.0f\n", float64(count)/time.Since(began).Seconds())
}

func publish(address, topic string, goroutines, count int64, size int64) {
	producer, err := nsq.NewProducer(address, nsq.NewConfig())
	if err != nil {
		log.Fatal(err)
	}
	producer.SetLogger(log.New(os.Stderr, "", 0), nsq.LogLevelError)
	body := make([]byte, size)
	if err := producer.Publish(topic, body); err != nil {
		log.Fatal(err)
	}
	began := time.Now()
	var group sync.WaitGroup
	for i := int64(0); i < goroutines; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := int64(0); k < count/goroutines; k++ {
				if err := producer.Publish(topic, body); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	group.Wait()
	fmt.Printf("%.0f\n", float64(count)/time.Since(began).Seconds())
}

// encoded returns an order as ours travels: a new id, the time, and the data encoded anew.
func encoded(data order, cause string) []byte {
	id, err := uuid.NewV7()
	if err != nil {
		log.Fatal(err)
	}
	body, err := msgpack.Marshal(&envelope{
		SpecVersion: "1.0", ID: id.String(), Source: "orders", Type: "OrderPlaced",
		Time:        time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"),
		ContentType: "application/msgpack", DataVersion: 1, CorrelationID: cause, CausationID: cause,
		TraceParent: "00-4bf92f354bf92f354bf92f354bf92f35-00f067aa00f067aa-01", Depth: 1, Data: data,
	})
	if err != nil {
		log.Fatal(err)
	}
	return body
}

func publishEncoded(address, topic string, goroutines, count, batch int64) {
	producer, err := nsq.NewProducer(address, nsq.NewConfig())
	if err != nil {
		log.Fatal(err)
	}
	producer.SetLogger(log.New(os.Stderr, "", 0), nsq.LogLevelError)
	cause := uuid.NewString()
	data := order{
		OrderID: uuid.NewString(), CustomerID: "c-123456", Email: "ada@example.org", Currency: "EUR",
		PlacedAt: time.Now().UTC().Format(time.RFC3339Nano), Total: "129.90",
		Lines: []line{{"SKU-0", 1, "10.00"}, {"SKU-1", 1, "9.90"}, {"SKU-2", 1, "100.00"}},
	}
	if err := producer.Publish(topic, encoded(data, cause)); err != nil {
		log.Fatal(err)
	}
	began := time.Now()
	var group sync.WaitGroup
	for i := int64(0); i < goroutines; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := int64(0); k < count/goroutines/batch; k++ {
				var err error
				if batch == 1 {
					err = producer.Publish(topic, encoded(data, cause))
				} else {
					bodies := make([][]byte, batch)
					for n := range bodies {
						bodies[n] = encoded(data, cause)
					}
					err = producer.MultiPublish(topic, bodies)
				}
				if err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	group.Wait()
	fmt.Printf("%.0f\n", float64(count)/time.Since(began).Seconds())
}

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 6 && arguments[0] == "consume":
		consume(arguments[1], arguments[2], arguments[3], number(arguments[4]), arguments[5])
	case len(arguments) == 6 && arguments[0] == "publish":
		publish(arguments[1], arguments[2], number(arguments[3]), number(arguments[4]), number(arguments[5]))
	case len(arguments) == 6 && arguments[0] == "publish-encoded":
		publishEncoded(arguments[1], arguments[2], number(arguments[3]), number(arguments[4]), number(arguments[5]))
	default:
		log.Fatal("usage: see main.go")
	}
}
