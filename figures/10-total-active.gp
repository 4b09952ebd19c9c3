# Total against active parameters, as published; lines of one ratio.
# data: build/chapter10 --data designs
set logscale xy
set xlabel "active parameters, billions"
set ylabel "all parameters, billions"
set xrange [0.8:200]
set yrange [3:5000]
set xtics (1, 3, 10, 30, 100)
set ytics (3, 10, 30, 100, 300, 1000, 3000)
set key at graph 0.98,0.02 right bottom
left(k) = k eq "mixtral-8x7b" ? "Mixtral" : k eq "olmoe-1b-7b" ? "OLMoE" : k eq "grok-1" ? "Grok-1" : ""
right(k) = k eq "deepseek-v3" ? "DeepSeek-V3" : k eq "kimi-k3" ? "Kimi K3" : k eq "gpt-oss-120b" ? "gpt-oss-120b" : ""
plot 4 * x with lines linetype 8 dashtype 3 title "4 : 1", \
     16 * x with lines linetype 8 dashtype 2 title "16 : 1", \
     32 * x with lines linetype 8 title "32 : 1", \
     data using 3:4 with points linetype 1 pointsize 0.8, \
     data using (left(strcol(1)) eq "" ? NaN : $3):4:(left(strcol(1))) with labels left offset 0.5,-0.7, \
     data using (right(strcol(1)) eq "" ? NaN : $3):4:(right(strcol(1))) with labels right offset -0.6,0.5
