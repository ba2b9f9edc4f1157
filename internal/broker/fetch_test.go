package broker

import (
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
