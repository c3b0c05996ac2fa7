module eventbus/benchmarks/peers

go 1.22

require (
	github.com/google/uuid v1.6.0
	github.com/nsqio/go-nsq v1.1.0
	github.com/shopspring/decimal v1.4.0
	github.com/vmihailenco/msgpack/v5 v5.4.1
)

require (
	github.com/golang/snappy v0.0.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
)
