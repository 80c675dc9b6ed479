package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var ourColor = color.RGBA{R: 0xc0, G: 0x20, B: 0x20, A: 0xff}

// charts draws the machines that were measured in one run.
func charts(all []*machine, out string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	all = slices.DeleteFunc(slices.Clone(all), func(m *machine) bool { return m.Carried != "" })
	if len(all) == 0 {
		return errors.New("no machine was measured in one run")
	}
	if err := throughput(all[0], filepath.Join(out, "throughput.svg")); err != nil {
		return err
	}
	return read16(all, filepath.Join(out, "read16.svg"))
}

// throughput draws bytes per second over the size of a Read, both logarithmic.
func throughput(m *machine, file string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Throughput by size of the Read, one goroutine (%s, %s)", m.title(), m.Date)
	p.Title.Padding = titleRoom
	p.X.Label.Text, p.Y.Label.Text = "bytes in a Read", "bytes per second"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	var x plot.ConstantTicks
	for _, size := range sizes {
		x = append(x, plot.Tick{Value: float64(size), Label: sizeName(size)})
	}
	p.X.Tick.Marker = x
	p.Y.Tick.Marker = decades()
	p.Add(plotter.NewGrid())
	ends := new(names)
	for i, r := range m.Alone {
		points := make(plotter.XYs, len(sizes))
		for j, size := range sizes {
			points[j] = plotter.XY{X: float64(size), Y: float64(size) / r.NS[sizeName(size)] * 1e9}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		style(r.Who, i, line, dots)
		p.Add(line, dots)
		ends.add(r.Who, points[len(points)-1], line.Color)
	}
	p.Add(ends)
	p.Y.Max = 1.3e10 // room for the names of the highest
	return save(p, 10*vg.Inch, 5.5*vg.Inch, file)
}

// style makes ours thick; the others differ in colour and in shape.
func style(name string, i int, line *plotter.Line, dots *plotter.Scatter) {
	line.Width, line.Color = vg.Points(1.2), plotutil.Color(i)
	dots.Shape, dots.Radius = plotutil.Shape(i), vg.Points(3)
	switch name {
	case nameOurs:
		line.Width, line.Color = vg.Points(3), ourColor
		dots.Shape = draw.CircleGlyph{}
	case nameRaw:
		line.Color = color.Gray{0x60}
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	dots.Color = line.Color
}

func decades() plot.ConstantTicks {
	var t plot.ConstantTicks
	for value, i := 1e6, 0; i < 5; value, i = value*10, i+1 {
		label := fmt.Sprintf("%g MB", value/1e6)
		if value >= 1e9 {
			label = fmt.Sprintf("%g GB", value/1e9)
		}
		t = append(t, plot.Tick{Value: value, Label: label})
		for j := 2.0; j < 10; j++ {
			t = append(t, plot.Tick{Value: value * j})
		}
	}
	return t
}

// read16 draws what 16 bytes take with each generator: a group of bars for each, with a bar for each machine.
func read16(all []*machine, file string) error {
	p := plot.New()
	p.Title.Text = "16 bytes, one goroutine"
	p.Title.Padding = titleRoom
	p.X.Label.Text = "nanoseconds (less is better)"
	p.X.Min = 0
	p.X.Tick.Marker = plot.TickerFunc(func(min, max float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(min, max)
		for i := range ticks {
			if ticks[i].Label != "" {
				ticks[i].Label = fmt.Sprintf("%g", ticks[i].Value)
			}
		}
		return ticks
	})
	p.HideY()
	var rows []measured
	for _, r := range all[0].Alone {
		if r.Who != nameRaw { // no generator
			rows = append(rows, r)
		}
	}
	left := &names{left: true}
	var at plotter.XYs
	var values []string
	for i, r := range rows {
		left.add(version.ReplaceAllString(r.Who, ""), plotter.XY{Y: float64(len(rows) - 1 - i)}, color.Black)
		for j, m := range all {
			ns := findNS(m.Alone, r.Who, "16 B")
			if ns == 0 {
				continue
			}
			y := float64(len(rows)-1-i) + barStep*(float64(len(all)-1)/2-float64(j)) // the first machine at the top
			bar, err := plotter.NewBarChart(plotter.Values{ns}, vg.Points(18/float64(len(all))))
			if err != nil {
				return err
			}
			bar.Horizontal, bar.XMin = true, y
			bar.LineStyle.Width = 0
			bar.Color = shade(color.RGBA{R: 0x60, G: 0x80, B: 0xa8, A: 0xff}, j)
			if r.Who == nameOurs {
				bar.Color = shade(ourColor, j)
			}
			p.Add(bar)
			at = append(at, plotter.XY{X: ns, Y: y})
			value := threeDigits(ns)
			if len(all) > 1 && i == 0 {
				value += " (" + m.title() + ")"
			}
			values = append(values, value)
		}
	}
	if len(all) == 1 {
		p.Title.Text += fmt.Sprintf(" (%s, %s)", all[0].title(), all[0].Date)
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: at, Labels: values})
	if err != nil {
		return err
	}
	labels.Offset = vg.Point{X: vg.Points(4), Y: -vg.Points(4)}
	p.Add(labels, left)
	p.X.Max *= 1.1 // room for the last label
	return save(p, 8*vg.Inch, 3.5*vg.Inch, file)
}

const titleRoom = vg.Length(8)

// barStep is the distance of two bars of one group; a group is 1.
const barStep = 0.4

// shade is lighter for each further machine.
func shade(c color.RGBA, j int) color.RGBA {
	for ; j > 0; j-- {
		c.R, c.G, c.B = c.R/2+0x78, c.G/2+0x78, c.B/2+0x78
	}
	return c
}

// save writes the plot on white, with a margin, since labels at the ends of an axis
// stand out. Readers without the font get one of the same measures.
func save(p *plot.Plot, width, height vg.Length, file string) error {
	svg := vgsvg.New(width, height)
	c := draw.New(svg)
	c.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	margin := vg.Points(10)
	p.Draw(draw.Crop(c, margin, -3*margin, margin, -margin))
	var out bytes.Buffer
	if _, err := svg.WriteTo(&out); err != nil {
		return err
	}
	const family = "font-family:Liberation Sans"
	text := bytes.ReplaceAll(out.Bytes(), []byte(family), []byte(family+",Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, text, 0o644)
}
