// Tables for people on any width, and for programs.
#include "base/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/page.h"
#include "base/screen.h"

namespace gaggle {
namespace {

Table scores(size_t methods, size_t tasks) {
  std::vector<std::string> header = {"held-in NLL/token"};
  for (size_t m = 0; m < methods; ++m) header.push_back("phatgoose:top_k=" + std::to_string(m));
  Table table(header);
  for (size_t t = 0; t < tasks; ++t) {
    std::vector<Cell> line = {"super_natural_instructions_task" + std::to_string(1000 + t) + "_answering"};
    for (size_t m = 0; m < methods; ++m) line.push_back(std::to_string(t) + "." + std::to_string(100 + m));
    table.add(line);
  }
  return table;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  return lines;
}

TEST(Table, IsAsItStandsWhereThereIsRoom) {
  Table table({"task", "steps", "why"});
  table.add({"tomi", "1,200", "a word"});
  table.add({"a", "-", ""});
  EXPECT_EQ(table.text(80), "task  steps  why\ntomi  1,200  a word\na         -\n");
}

// On every width: no line is longer, every number is there whole, and the ends of names show.
TEST(Table, NumbersStayWholeAndLinesFit) {
  for (const size_t columns : {40u, 60u, 80u, 120u, 200u}) {
    const std::string text = scores(12, 20).text(columns);
    for (const std::string& line : lines_of(text)) EXPECT_LE(columns_of(line), columns) << line;
    for (size_t t = 0; t < 20; ++t)
      for (size_t m = 0; m < 12; ++m)
        EXPECT_NE(text.find(" " + std::to_string(t) + "." + std::to_string(100 + m)), std::string::npos) << text;
    EXPECT_NE(text.find("super_n"), std::string::npos) << text;
    EXPECT_NE(text.find("swering"), std::string::npos) << text;
  }
}

TEST(Table, SentencesBreakAtSpacesOnATerminalAndStayWholeInAFile) {
  Table table({"folder", "why"});
  const std::string why =
      "rank 4 at 21 sites does not fit a base of 30 layers, which was asked for with --base smollm2";
  table.add({"loras/tomi", why});
  for (const std::string& line : lines_of(table.text(60))) {
    EXPECT_LE(columns_of(line), 60u) << line;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      EXPECT_TRUE((" folder why loras/tomi " + why + " ").find(word) != std::string::npos) << word;
  }
  EXPECT_NE(table.text(std::nullopt).find(why + "\n"), std::string::npos);
}

TEST(Table, NamesAreCutInTheMiddle) {
  EXPECT_EQ(cut_in_the_middle("abcdefghij", 5), "ab…ij");
  EXPECT_EQ(cut_in_the_middle("äöüßabcdef", 4), "äö…f");
  EXPECT_EQ(cut_in_the_middle("abc", 3), "abc");
}

TEST(Table, ProgramsGetValues) {
  Table table({"task", "right", "rows", "note", "id", "most"});
  table.add({"a, \"b\"", "61.0 %", "1,234", "1,2", "007", "a 43 %, b 20 %"});
  table.add({"c|d", "-", "-", "", "+0.5", "a 100 %"});
  EXPECT_EQ(table.csv(),
            "task,right %,rows,note,id,most\n\"a, \"\"b\"\"\",61.0,1234,\"1,2\",007,\"a 43 %, b 20 %\"\n"
            "c|d,,,,0.5,a 100 %\n");
  const auto json = table.json();
  EXPECT_EQ(json["table"], "task");
  EXPECT_EQ(json["rows"][0]["right %"], 61.0);
  EXPECT_EQ(json["rows"][0]["rows"], 1234);
  EXPECT_EQ(json["rows"][0]["note"], "1,2");
  EXPECT_EQ(json["rows"][0]["id"], "007");
  EXPECT_TRUE(json["rows"][1]["right %"].is_null() && json["rows"][1]["note"].is_null());
  EXPECT_EQ(table.markdown(),
            "| task | right | rows | note | id | most |\n|---|---|---|---|---|---|\n"
            "| a, \"b\" | 61.0 % | 1,234 | 1,2 | 007 | a 43 %, b 20 % |\n| c\\|d | - | - |  | +0.5 | a 100 % |\n");
}

TEST(Table, ProgramsGetWhatPeopleReadRounded) {
  Table table({"true", "size", "time", "gated"});
  table.add({"true", bytes_cell(48591), time_cell(0.25), flag_cell(true)});
  table.add({"b", "-", time_cell(3723), flag_cell(false)});
  EXPECT_EQ(table.csv(), "true,size bytes,time s,gated\ntrue,48591,0.250,true\nb,,3723.000,false\n");
  EXPECT_EQ(table.json().dump(),
            R"({"table":"true","rows":[{"true":"true","size bytes":48591,"time s":0.25,"gated":true},)"
            R"({"true":"b","size bytes":null,"time s":3723.0,"gated":false}]})");
  EXPECT_NE(table.text().find("true  48.6 kB     0:00  yes"), std::string::npos) << table.text();
}

TEST(Table, NamesOfLinesAreCutLast) {
  Table table({"key", "value", "because"});
  table.add({"data.max_target_tokens", "[\"tasks/copy.jsonl\", \"tasks/reverse.jsonl\"]",
             "the longest answer has 12 tokens"});
  EXPECT_NE(table.text(60).find("data.max_target_tokens"), std::string::npos) << table.text(60);
}

TEST(Page, TablesAloneAreOfStandardOutputWhereAProgramReads) {
  Table table({"a"});
  table.add({"1"});
  const Page page = Page("words\n") + table + "more\n" + table;
  EXPECT_EQ(page.text(), "words\na\n1\nmore\na\n1\n");
  const auto printed = [&](TableFormat format) {
    set_table_format(format);
    testing::internal::CaptureStdout();
    page.print();
    set_table_format(TableFormat::text);
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(printed(TableFormat::csv), "a\n1\n\na\n1\n");
  EXPECT_EQ(nlohmann::json::parse(printed(TableFormat::json)).size(), 2u);
}

TEST(Wrapped, BreaksAtSpacesAlone) {
  EXPECT_EQ(wrapped("lora      rank 4, scale 0.25", 20, 10), "lora      rank 4,\n          scale 0.25");
  EXPECT_EQ(wrapped("a\nlonger_than_it b\n", 5), "a\nlonger_than_it\nb\n");
}

}  // namespace
}  // namespace gaggle
