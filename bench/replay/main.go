// Command replay measures `barograph replay` on a month of readings that it makes up and sends
// through a pipe: how long it takes, and how much memory.
//
//	go run ./bench/replay [-n 10000000] [-companies 500] [-barograph bin/barograph] [-keep FILE]
//
// The month has the shape of news: companies by Zipf's law, days and nights, weekends, a fifth
// of the texts negative, one in six a copy, one in fifty a repeat, late items, and bursts of
// bad news. It is made on the same cores that it is measured on, which costs some of them; -keep
// writes it to a file instead.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/barograph/barograph/bench/summary"
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 10_000_000, "readings")
	companies := flag.Int("companies", 500, "companies; with 20 topics each")
	program := flag.String("barograph", "bin/barograph", "the program to measure")
	keep := flag.String("keep", "", "file to write the month to, instead of measuring")
	flag.Parse()
	if err := run(*n, *companies, *program, *keep, flag.Args()); err != nil {
		log.Fatal("bench/replay: ", err)
	}
}

func run(n, companies int, program, keep string, args []string) error {
	if keep != "" {
		file, err := os.Create(keep)
		if err != nil {
			return err
		}
		defer file.Close()
		return newMonth(n, companies).write(file)
	}
	cmd := exec.Command(program, append([]string{"replay", "-"}, args...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	writing := newMonth(n, companies).write(pipe)
	pipe.Close()
	if err := cmd.Wait(); err != nil {
		return err
	}
	if writing != nil {
		return writing
	}
	elapsed := time.Since(begun)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("%d readings about %d companies: %s, %.0f readings/s; %.0f s of CPU time, at most %d MB\n", n, companies,
		elapsed.Round(time.Second), float64(n)/elapsed.Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		usage.Maxrss/1000)
	return summary.Row("replay of history", fmt.Sprintf("%.0f readings/s", float64(n)/elapsed.Seconds()),
		"10,000,000 in ten minutes: 16,667", fmt.Sprintf("%.1f times as fast", float64(n)/elapsed.Seconds()*600/10_000_000))
}

// month makes readings up. The same numbers give the same month.
type month struct {
	rng       *rand.Rand
	n         int
	companies []float64 // cumulated chances
	burst     int       // the company that has bad news
	until     float64   // second at which they end
	last      [256]kept // for copies and repeats
}

type kept struct {
	line    []byte
	company int
	digest  uint64
}

const (
	start  = 1793491200 // 2026-11-01 00:00 UTC, a Sunday
	length = 30 * 86400
	topics = 20
	// usual is the mean of pace over a week.
	usual = (5 + 2*.4) / 7
)

// pace is how busy a second of the month is; its mean is about usual.
func pace(second float64) float64 {
	day := int(second / 86400)
	p := 1 - .8*math.Cos(2*math.Pi*(second/86400-.12))
	if weekday := day % 7; weekday == 0 || weekday == 6 {
		p *= .4
	}
	return p
}

func newMonth(n, companies int) *month {
	m := &month{rng: rand.New(rand.NewPCG(1, uint64(n))), n: n, companies: make([]float64, companies)}
	sum := 0.0
	for i := range m.companies {
		sum += 1 / float64(i+3)
		m.companies[i] = sum
	}
	for i := range m.companies {
		m.companies[i] /= sum
	}
	return m
}

func (m *month) company() int {
	x := m.rng.Float64()
	low, high := 0, len(m.companies)-1
	for low < high {
		if middle := (low + high) / 2; m.companies[middle] < x {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

func (m *month) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	second, line := 0.0, make([]byte, 0, 2048)
	for i := range m.n {
		second += float64(length) * usual / float64(m.n) / math.Max(.05, pace(second))
		line = m.reading(line[:0], i, second)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

const words = "shares of the company fell after it said that quarterly revenue would miss what analysts had expected while demand in Europe stays weak and costs rise; the chief executive told investors on a call that margins will recover in the second half of the year as prices settle, and that it would cut jobs "

// reading appends a line.
func (m *month) reading(line []byte, i int, second float64) []byte {
	rng := m.rng
	if second > m.until+7200 && rng.Float64() < 2.0/86400*float64(length)/float64(m.n) { // twice a day
		m.burst, m.until = m.company(), second+1800+7200*rng.Float64()
	}
	company, digest := m.company(), rng.Uint64()
	negative := rng.Float64() < .2
	if second < m.until && rng.Float64() < .01 {
		company, negative = m.burst, true
	}
	slot := &m.last[rng.IntN(len(m.last))]
	switch chance := rng.IntN(100); {
	case slot.line == nil:
	case chance < 2: // the same message again
		return append(line, slot.line...)
	case chance < 18: // the text on another site
		company, digest = slot.company, slot.digest
	}
	published := second
	if rng.IntN(50) == 0 {
		published -= 3600 * rng.ExpFloat64()
	}
	probability := .05 + .2*rng.Float64()
	if negative {
		probability = .6 + .4*rng.Float64()
	}
	line = append(line, `{"id":"`...)
	line = strconv.AppendInt(line, int64(i), 36)
	line = append(line, `","kind":"news","source":"site`...)
	line = strconv.AppendInt(line, int64(rng.IntN(40)), 10)
	line = append(line, `.example","published_at":"`...)
	line = time.Unix(start+int64(published), 0).UTC().AppendFormat(line, time.RFC3339)
	line = append(line, `","classified_at":"`...)
	line = time.UnixMilli(start*1000+int64(second*1000)).UTC().AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","lang":"en","entities":["C`...)
	line = strconv.AppendInt(line, int64(company), 10)
	if rng.IntN(10) == 0 {
		line = append(line, `","C`...)
		line = strconv.AppendInt(line, int64((company+1)%len(m.companies)), 10)
	}
	line = append(line, `"],"sentiment":{"negative":`...)
	line = strconv.AppendFloat(line, probability, 'f', 4, 64)
	line = append(line, `,"neutral":`...)
	line = strconv.AppendFloat(line, 1-probability, 'f', 4, 64)
	line = append(line, `,"positive":0},"topic":{"label":"topic `...)
	line = strconv.AppendInt(line, int64((company+rng.IntN(4)*rng.IntN(6))%topics), 10)
	line = append(line, `","probability":0.81},"duplicate_of":"","model":{"name":"en","version":"1","digest":"0123456789abcdef0123456789abcdef"},"title":"C`...)
	line = strconv.AppendInt(line, int64(company), 10)
	line = append(line, ` falls as quarterly revenue misses what analysts expect","url":"https://site.example/`...)
	line = strconv.AppendInt(line, int64(i), 10)
	line = append(line, `","text":"`...)
	from := rng.IntN(len(words) / 2)
	line = append(line, words[from:]...)
	line = append(line, `","text_digest":"`...)
	line = fmt.Appendf(line, "%016x", digest)
	line = append(line, "\"}\n"...)
	*slot = kept{append(slot.line[:0], line...), company, digest}
	return line
}
