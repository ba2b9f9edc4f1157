package main

import "testing"

func TestFiguresOfACardAreOfAllData(t *testing.T) {
	const card = "# en\n\n| head | validation rows | of | accuracy | macro-F1 | calibration error |\n|---|---|---|---|---|---|\n" +
		"| sentiment | 1762 | all | 0.876 | 0.863 | 0.028 |\n| sentiment | 991 | tweets | 0.877 | 0.848 | 0.033 |\n| topic | 1684 | topics | 0.878 | 0.873 | 0.027 |\n\n" +
		"| head | precision | accuracy |\n|---|---|---|\n| sentiment | int8 | 0.1 |\n"
	figures := figuresIn(card)
	if figures["sentiment"]["accuracy"] != "0.876" || figures["topic"]["macro-f1"] != "0.873" || figures["topic"]["ece"] != "0.027" || len(figures) != 2 {
		t.Errorf("figures %v", figures)
	}
}
