# The hidden units of the first tokens: in the strongest quarter, weaker, or exactly zero.
# data: build/chapter1 --data units --tokens 16
set encoding utf8
set xlabel "hidden unit"
set xrange [-5:128]
set xtics 0,16,127
set yrange [15.6:-0.6]
unset ytics
unset grid
set key reverse Left outside top center horizontal samplen 1
# Every mark of a kind as "unit token"; then the tokens' names.
marks(kind) = "< awk -F '\\t' '!/^# / { for (j = 1; j <= length($2); j++) if (substr($2, j, 1) == \"" . kind \
    . "\") print j - 1.42 \"\\t\" n + 0; n++ }' " . data
names = "< sed '1d; s/^\\\\n/↵/' " . data
plot marks("#") using 1:2:(0.84):(0) with vectors nohead linetype 1 linewidth 10 title "strongest quarter", \
     marks("+") using 1:2:(0.84):(0) with vectors nohead linetype 2 linewidth 10 title "weaker", \
     names using (-3):0:1 with labels noenhanced font ",13" notitle
