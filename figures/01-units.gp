# The hidden units of the first tokens: in the strongest quarter, weaker, or exactly zero.
# data: build/chapter1 --data units --tokens 16
set xlabel "hidden unit"
set xrange [-5:128]
set xtics 0,16,127
set yrange [15.6:-0.6]
unset ytics
unset grid
set key reverse Left outside top center horizontal samplen 1
set encoding utf8
seen = -1
once(t) = t == seen ? NaN : (seen = t, -3)
shown(c) = c eq "\n" ? "↵" : c
plot data using ($3 == 1 ? $2 - 0.42 : NaN):1:(0.84):(0) with vectors nohead linetype 1 linewidth 10 title "strongest quarter", \
     data using ($3 == 0 ? $2 - 0.42 : NaN):1:(0.84):(0) with vectors nohead linetype 2 linewidth 10 title "weaker", \
     data using (once($1)):1:(shown(strcol(4))) with labels noenhanced font ",13" notitle
