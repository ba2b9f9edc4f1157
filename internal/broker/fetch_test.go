package broker

import (
	"bytes"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Brokers send whole batches: some records lie before the offset, some have been compacted
// away. Reading always gets on.
func TestReadRecordsGetsOn(t *testing.T) {
	batch := func(offsets ...int64) kafka.RecordReader {
		var records []kafka.Record
		for _, offset := range offsets {
			records = append(records, kafka.Record{Offset: offset})
		}
		return &protocol.RecordBatch{Records: kafka.NewRecordReader(records...)}
	}
	control := func(offset int64) kafka.RecordReader {
		return &protocol.ControlBatch{Records: kafka.NewRecordReader(kafka.Record{Offset: offset})}
	}
	tests := map[string]struct {
		batches []kafka.RecordReader
		read    []int64
		next    int64
	}{
		"nothing":                    {nil, nil, 5},
		"from the middle of a batch": {[]kafka.RecordReader{batch(3, 4, 5, 6)}, []int64{5, 6}, 7},
		"gaps":                       {[]kafka.RecordReader{batch(3, 8), batch(11)}, []int64{8, 11}, 12},
		"the end of a transaction":   {[]kafka.RecordReader{batch(5), control(6)}, []int64{5}, 7},
		"an empty batch":             {[]kafka.RecordReader{batch()}, nil, 6},
		"only earlier records":       {[]kafka.RecordReader{batch(3, 4)}, nil, 6},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			chunk, err := readRecords(&protocol.RecordStream{Records: tt.batches}, "news", 0, 5)
			if err != nil {
				t.Fatal(err)
			}
			if chunk.Next != tt.next || len(chunk.Messages) != len(tt.read) {
				t.Fatalf("%d messages, next %d; want %v, %d", len(chunk.Messages), chunk.Next, tt.read, tt.next)
			}
			for i, m := range chunk.Messages {
				if m.Offset != tt.read[i] || m.Topic != "news" {
					t.Errorf("message %d: %+v, want offset %d", i, m, tt.read[i])
				}
			}
		})
	}
}

// Messages of a chunk share their memory; a large one has its own.
func TestReadRecordsAllocatesForAChunk(t *testing.T) {
	each := func(n int) float64 {
		key, value := []byte("7f3a"), bytes.Repeat([]byte("x"), 400)
		read := func() {
			records := make([]kafka.Record, n)
			for i := range records {
				records[i] = kafka.Record{Offset: int64(i), Key: kafka.NewBytes(key), Value: kafka.NewBytes(value)}
			}
			stream := &protocol.RecordStream{Records: []kafka.RecordReader{&protocol.RecordBatch{Records: kafka.NewRecordReader(records...)}}}
			chunk, err := readRecords(stream, "news", 0, 0)
			if err != nil || len(chunk.Messages) != n || !bytes.Equal(chunk.Messages[n-1].Value, value) || string(chunk.Messages[0].Key) != string(key) {
				t.Fatalf("%d messages, %v", len(chunk.Messages), err)
			}
		}
		return testing.AllocsPerRun(10, read)
	}
	const records = 2 // key and value of the records that the test makes
	if few, many := each(100), each(1100); (many-few)/1000 > records+.05 {
		t.Errorf("%v allocations for 100 messages, %v for 1,100", few, many)
	}
}

// An empty key or value is none that is null, also as the first of a fetch.
func TestEmptyIsNotNull(t *testing.T) {
	var memory block
	for range 2 {
		m, err := memory.message(&kafka.Record{Key: kafka.NewBytes([]byte{}), Value: nil}, "news", 0)
		if err != nil || m.Key == nil || len(m.Key) > 0 || m.Value != nil {
			t.Errorf("key %#v, value %#v: %v", m.Key, m.Value, err)
		}
		if _, err := memory.message(&kafka.Record{Key: kafka.NewBytes([]byte("key"))}, "news", 0); err != nil {
			t.Error(err)
		}
	}
}

func TestMessagesDoNotShareBytes(t *testing.T) {
	var memory block
	var all []kafka.Message
	want := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 1+i*37%9000) }
	for i := range 200 {
		m, err := memory.message(&kafka.Record{Key: kafka.NewBytes([]byte(want(i + 1))), Value: kafka.NewBytes([]byte(want(i)))}, "news", 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	for i, m := range all {
		if string(m.Value) != want(i) || string(m.Key) != want(i+1) {
			t.Fatalf("message %d was overwritten", i)
		}
		_ = append(m.Key, "grown over its end"...)
	}
}
